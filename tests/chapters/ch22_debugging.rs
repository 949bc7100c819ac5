#[path = "../../examples/22_debugging.rs"]
mod debugging;

use debugging::TOO_LONG;

/// One test: the monitor is the whole process's.
#[test]
fn a_leak_is_found_and_named_and_the_tree_drawn() {
    debugging::main().expect("it needs no thread");
    let found = debugging::find_the_leak().expect("it needs no thread");

    let [leak] = &found.leaks[..] else {
        panic!("{:?}", found.leaks)
    };
    assert_eq!(leak.name, "GET /stream");
    assert!(leak.age >= TOO_LONG);
    assert_eq!(leak.children, 1, "its query");
    assert!(leak.tracked_at.file().ends_with("22_debugging.rs"));
    assert_eq!(leak.made_at.is_some(), cfg!(feature = "origin"));

    let stats = found.stats;
    assert_eq!((stats.created, stats.active), (5, 3), "{stats}");
    assert_eq!((stats.canceled, stats.timed_out), (1, 1), "{stats}");
    assert!(
        found
            .events
            .iter()
            .any(|event| event == "tracked: GET /stream")
    );

    let text = found.tree.to_string();
    assert!(text.starts_with("service: WithCancel, live"), "{text}");
    let line = text.lines().nth(1).expect("the leak hangs on the service");
    assert!(
        line.starts_with("└─ GET /stream: WithCancel, live, 1 more below"),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(&found.tree.to_json()).expect("it is JSON");
    let nodes = json["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 2);
    assert_eq!(nodes[1]["names"][0], "GET /stream");
    assert_eq!(nodes[1]["parent"], 0);
    assert!(found.tree.to_dot().contains("n0 -> n1;"));
}

#[test]
fn a_query_says_whose_end_was_its_own() {
    let (deadline, cancel) = debugging::who_ended_it();
    assert!(
        deadline.starts_with("deadline of WithDeadline 2 levels up"),
        "{deadline}"
    );
    assert!(
        cancel.starts_with("cancel of WithCancel 2 levels up"),
        "{cancel}"
    );
}
