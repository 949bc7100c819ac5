//! The example `two_services` in two processes: this one is the caller, and starts itself as the callee.

#[expect(
    dead_code,
    reason = "its main: the callee here is a test of this program"
)]
#[path = "../examples/two_services/main.rs"]
mod two_services;

use std::env;
use tokio::process::Command;
use two_services::callee;
use two_services::caller::{self, Counted};

const CALLEE: &str = "RIPCORD_TWO_SERVICES_CALLEE";

/// Does nothing but where the test below has started it.
#[tokio::test]
async fn the_callee_itself() {
    if env::var_os(CALLEE).is_some() {
        callee::serve()
            .await
            .expect("it serves until its input ends");
    }
}

#[tokio::test]
async fn who_gives_up_stops_the_callees_work_in_another_process() {
    let mut callee = Command::new(env::current_exe().expect("this program has a path"));
    callee
        .args(["--exact", "the_callee_itself", "--nocapture"])
        .env(CALLEE, "1");
    let counted = caller::run(10, callee).await.expect("the calls go through");
    let all = Counted {
        answered: 5,
        given_up: 5,
        begun: 10,
        finished: 5,
        stopped: 5,
    };
    assert_eq!(counted, all);
}
