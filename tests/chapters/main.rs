//! The book, chapter by chapter: each module calls the functions of that chapter's example.

mod ch01_basic;
mod ch02_cancellation;
mod ch03_timeout;
mod ch04_deadline;
mod ch05_values;
mod ch06_hierarchy;
mod ch16_testing;
mod ch23_best_practices;
