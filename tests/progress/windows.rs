//! A thread is stopped in each window, by name, and the rest goes on; what is told late, and what the next cancel finishes.

mod cancels;
mod lists;
mod others;
