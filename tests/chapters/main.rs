//! The numbered examples, chapter by chapter: each module calls the functions of one.

mod ch01_basic;
mod ch02_cancellation;
mod ch03_timeout;
mod ch04_deadline;
mod ch05_values;
mod ch06_hierarchy;
#[cfg(feature = "tempfile")]
mod ch09_files;
mod ch10_worker_pool;
mod ch11_pipeline;
#[cfg(feature = "retry")]
mod ch12_service_discovery;
mod ch13_cache;
mod ch16_testing;
mod ch17_channels;
mod ch18_propagation;
mod ch19_custom_contexts;
mod ch20_cancellation_patterns;
mod ch21_performance;
mod ch22_debugging;
mod ch23_best_practices;
mod ch24_anti_patterns;
