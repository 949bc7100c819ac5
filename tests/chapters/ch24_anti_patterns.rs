#[path = "../../examples/24_anti_patterns.rs"]
mod anti_patterns;

use anti_patterns::{
    absurd_timeout, changed_parent, deaf_loop, deaf_sleep, forgotten_guard, fresh_root,
    hidden_parameter, lost_guard, mistaken_error, stored,
};
use ripcord::{Context, Error};
use std::io;
use std::time::Duration;

#[test]
fn each_mistake_does_what_it_is_said_to_do_and_its_twin_does_not() {
    anti_patterns::main();
    let (done, guard) = Context::background().with_cancel();
    guard.cancel();

    assert_eq!(stored::wrong(), Err(Error::Canceled));
    assert_eq!(stored::mended(), Ok("a row"));

    assert_eq!(deaf_loop::wrong(&done, 100), 100);
    assert_eq!(deaf_loop::mended(&done, 100), Err(Error::Canceled));
    assert_eq!(deaf_loop::mended(&Context::background(), 100), Ok(100));

    assert_eq!(fresh_root::wrong(&done), Ok(()));
    assert_eq!(fresh_root::mended(&done), Err(Error::Canceled));

    assert!(hidden_parameter::wrong(&Context::todo()).is_err());
    assert_eq!(hidden_parameter::mended(3), 3);

    assert_eq!(lost_guard::wrong(), Some(Error::Canceled));
    assert_eq!(lost_guard::mended(), None);

    assert_eq!(
        (forgotten_guard::wrong(), forgotten_guard::mended()),
        (3, 0)
    );
    assert_eq!(
        (changed_parent::wrong(), changed_parent::mended()),
        (None, Some("ada"))
    );

    assert!(absurd_timeout::wrong() > Duration::from_secs(3_600));
    assert!(absurd_timeout::mended().is_ok_and(|left| left <= Duration::from_secs(1)));

    assert_eq!(deaf_sleep::wrong(&done), Ok(()));
    assert_eq!(deaf_sleep::mended(&done), Err(Error::Canceled));
}

#[test]
fn an_error_that_is_not_the_contexts_is_not_taken_for_one() {
    assert_eq!(mistaken_error::wrong(), "the client has gone");
    assert_eq!(mistaken_error::mended(), "it failed: disk full");
    let described = |error: Error| mistaken_error::describe(&io::Error::from(error));
    assert_eq!(described(Error::Canceled), "the client has gone");
    assert_eq!(described(Error::DeadlineExceeded), "it took too long");
}
