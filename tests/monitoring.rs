//! What a monitor counts, logs, names and draws. A binary of its own: the monitor is the whole process's, and the tests take
//! turns.

#[path = "../examples/22_debugging.rs"]
mod debugging;

use ripcord::{
    AfterFunc, CancelGuard, Context, ContextKind, ContextTree, Engine, Error, Key, Monitor,
    MonitorEvent, MonitorStats, monitor,
};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Created, active, canceled, timed out.
fn counts(stats: MonitorStats) -> [usize; 4] {
    [stats.created, stats.active, stats.canceled, stats.timed_out]
}

fn names(monitor: &Monitor, older_than: Duration) -> Vec<String> {
    let leaks = monitor.leaks(older_than);
    leaks.into_iter().map(|leak| leak.name).collect()
}

/// However often it is looked: a look drops what it finds gone.
#[track_caller]
fn assert_no_leaks(monitor: &Monitor, looks: usize) {
    let found: Vec<_> = (0..looks).map(|_| names(monitor, Duration::ZERO)).collect();
    assert_eq!(
        found,
        vec![Vec::<String>::new(); looks],
        "active: {}",
        monitor.stats()
    );
}

#[test]
fn contexts_are_counted_when_they_are_made_when_they_end_and_when_they_go() {
    let _alone = alone();
    let monitor = Monitor::start();
    let (root, root_guard) = Context::background().with_cancel();
    let (child, child_guard) = root.with_cancel();
    assert_eq!(counts(monitor.stats()), [2, 2, 0, 0]);
    root_guard.cancel();
    assert_eq!(counts(monitor.stats()), [2, 2, 2, 0], "done, and there yet");
    drop((child, child_guard));
    assert_eq!(counts(monitor.stats()), [2, 1, 2, 0]);
    drop(root.with_cancel());
    assert_eq!(counts(monitor.stats()), [3, 1, 2, 0], "born done");
    drop((root, root_guard));
    assert_eq!(counts(monitor.stats()), [3, 0, 2, 0]);

    let (ctx, guard) = Context::background().with_cancel();
    let handle = guard.disarm();
    drop((ctx, handle));
    assert_eq!(counts(monitor.stats()), [4, 0, 2, 0], "dropped live");
}

#[test]
fn a_parent_is_there_as_long_as_what_was_derived_from_it() {
    let _alone = alone();
    let monitor = Monitor::start();
    let (parent, parent_guard) = Context::background().with_cancel();
    let (child, child_guard) = parent.with_cancel();
    parent_guard.disarm();
    drop(parent);
    assert_eq!(monitor.stats().active, 2);
    drop((child, child_guard));
    assert_eq!(counts(monitor.stats()), [2, 0, 1, 0]);
}

#[test]
fn the_contexts_of_a_batch_go_with_it() {
    let _alone = alone();
    let monitor = Monitor::start();
    let batch = Context::background().batch(10);
    let clone = batch[3].clone();
    assert_eq!(counts(monitor.stats()), [10, 10, 0, 0]);
    drop(batch);
    assert_eq!(counts(monitor.stats()), [10, 1, 10, 0]);
    drop(clone);
    assert_eq!(counts(monitor.stats()), [10, 0, 10, 0]);
}

#[test]
fn a_merge_that_its_parents_panic_in_was_never_there() {
    let _alone = alone();
    let monitor = Monitor::start();
    let (first, guard) = Context::background().with_cancel();
    let parents = (0..2).map(|nth| {
        if nth == 1 {
            guard.cancel();
            panic!("the caller's");
        }
        &first
    });
    let merge = AssertUnwindSafe(|| Context::merge(parents));
    assert!(catch_unwind(merge).is_err());
    assert_eq!(counts(monitor.stats()), [1, 1, 1, 0], "the parent");
}

#[test]
fn a_merge_of_more_parents_than_one_node_has_links_is_one_context() {
    /// One more than a state word has room for.
    const PARENTS: usize = (1 << 19) + 1;
    let _alone = alone();
    let rest = Context::background().batch(PARENTS - 1);
    let monitor = Monitor::start();
    let (first, guard) = Context::background().with_cancel();
    let merged = Context::merge([&first].into_iter().chain(rest.iter()));
    assert_eq!(counts(monitor.stats()), [2, 2, 0, 0]);
    guard.cancel();
    assert_eq!(counts(monitor.stats()), [2, 2, 2, 0]);
    drop(merged);
    assert_eq!(counts(monitor.stats()), [2, 1, 2, 0]);
}

#[test]
fn values_are_counted_as_they_are_set() {
    static NAME: Key<&str> = Key::new("name");
    let _alone = alone();
    let monitor = Monitor::start();
    let ctx = Context::background().with_value(&NAME, "a");
    let _second = ctx.with_value(&NAME, "b");
    assert_eq!(monitor.stats().values, 2);
    assert_eq!(
        monitor.events()[0].event.to_string(),
        "value set: name",
        "and never what they are"
    );
}

#[test]
fn an_engine_that_is_watched_has_counts_of_its_own() {
    let _alone = alone();
    let monitor = Monitor::start();
    let (engine, clock) = Engine::builder().manual_clock().expect("no thread");
    let (other, _clock) = Engine::builder().manual_clock().expect("no thread");
    monitor.watch("tests", &engine);
    let (timed, guard) = engine.background().with_timeout(DAY);
    let (_below, _below_guard) = timed.with_cancel();
    let _elsewhere = other.background().with_cancel();
    let _global = Context::background().with_cancel();
    clock.advance(DAY);
    let watched = |nth: usize| {
        let (name, stats) = monitor.engines().remove(nth);
        (name, counts(stats))
    };
    assert_eq!(watched(0), ("tests".to_owned(), [2, 2, 0, 2]));
    assert_eq!(counts(monitor.stats()), [4, 4, 0, 2]);
    drop((timed, guard));

    monitor.watch("again", &engine);
    assert_eq!(watched(0).0, "again", "one engine is watched once");
    assert_eq!(watched(0).1[0], 2, "and its counts go on");
    monitor.watch("global", Engine::global());
    let _global = Context::background().with_cancel();
    assert_eq!(watched(1).1[0], 1);
    monitor.unwatch(&engine);
    assert_eq!(monitor.engines().len(), 1);
}

#[test]
fn what_is_open_for_too_long_is_named_with_where_it_was_tracked() {
    let _alone = alone();
    let monitor = Monitor::start();
    let (engine, clock) = Engine::builder().manual_clock().expect("no thread");
    let (old, old_guard) = engine.background().with_timeout(10 * DAY);
    monitor.track(&old, "old");
    let line = line!() - 1;
    clock.advance(DAY);
    let (young, _young_guard) = old.with_cancel();
    monitor.track(&young, "young");
    clock.advance(DAY);

    assert_eq!(names(&monitor, Duration::ZERO), ["old", "young"]);
    let leaks = monitor.leaks(2 * DAY);
    assert_eq!(leaks.len(), 1);
    let leak = &leaks[0];
    assert_eq!(
        (leak.kind, leak.age, leak.children),
        (ContextKind::Deadline, 2 * DAY, 1)
    );
    assert_eq!(
        (leak.tracked_at.file(), leak.tracked_at.line()),
        (file!(), line)
    );
    assert!(
        leak.path.ends_with(".WithDeadline(in 691200s)"),
        "{}",
        leak.path
    );
    assert!(
        leak.to_string().starts_with("old: open for 172800s"),
        "{leak}"
    );
    assert_eq!(leak.made_at.is_some(), cfg!(feature = "origin"));

    drop(old_guard);
    assert!(names(&monitor, Duration::ZERO).is_empty(), "both are done");
}

#[test]
fn what_was_dropped_live_is_no_leak_and_what_hangs_below_keeps_it_one() {
    let _alone = alone();
    let monitor = Monitor::start();
    let (ctx, guard) = Context::background().with_cancel();
    let (child, child_guard) = ctx.with_cancel();
    guard.disarm();
    monitor.track(&ctx, "dropped");
    drop(ctx);
    assert_eq!(names(&monitor, Duration::ZERO), ["dropped"]);
    drop((child, child_guard));
    assert!(names(&monitor, Duration::ZERO).is_empty());
    assert_eq!(monitor.stats().active, 0, "the monitor keeps it no longer");

    monitor.track(&Context::background(), "background");
    monitor.track(&Engine::global().background(), "global");
    let (engine, _clock) = Engine::builder().manual_clock().expect("no thread");
    monitor.track(&engine.background(), "engine");
    assert!(names(&monitor, Duration::ZERO).is_empty());
}

#[test]
fn what_only_a_wait_is_left_of_is_a_leak_until_that_is_dropped() {
    type Wait = fn(&Context) -> Box<dyn Any>;
    let _alone = alone();
    let monitor = Monitor::start();
    let waits: [Wait; 4] = [
        |ctx| Box::new(ctx.done()),
        |ctx| Box::new(ctx.run(std::future::pending::<()>())),
        |ctx| Box::new(ctx.sleep(DAY)),
        |ctx| Box::new(ctx.after_func(|| {})),
    ];
    for wait in waits {
        let (ctx, guard) = Context::background().with_cancel();
        monitor.track(&ctx, "waited on");
        let waits = wait(&ctx);
        drop((guard.disarm(), ctx));
        let leaks = monitor.leaks(Duration::ZERO);
        assert_eq!(leaks.len(), 1, "the wait keeps it");
        if let Ok(callback) = waits.downcast::<AfterFunc>() {
            callback.stop();
        }
        assert!(names(&monitor, Duration::ZERO).is_empty());
        assert_eq!(monitor.stats().active, 0);
    }
}

#[test]
fn what_was_tracked_twice_and_dropped_is_no_leak() {
    let _alone = alone();
    let monitor = Monitor::start();
    let (ctx, guard) = Context::background().with_cancel();
    let handle = guard.disarm();
    monitor.track(&ctx, "once");
    monitor.track(&ctx, "twice");
    drop((ctx, handle));
    assert_no_leaks(&monitor, 2);
}

#[test]
fn a_parent_and_what_was_derived_from_it_that_were_dropped_are_no_leaks() {
    let _alone = alone();
    let monitor = Monitor::start();
    let (parent, parent_guard) = Context::background().with_cancel();
    let (child, child_guard) = parent.with_cancel();
    let (grandchild, grandchild_guard) = child.with_cancel();
    monitor.track(&parent, "parent");
    monitor.track(&child, "child");
    monitor.track(&grandchild, "grandchild");
    drop((
        parent_guard.disarm(),
        child_guard.disarm(),
        grandchild_guard.disarm(),
    ));
    drop((parent, child, grandchild));
    assert_no_leaks(&monitor, 3);
}

#[test]
fn what_has_its_own_guard_as_a_value_and_was_dropped_is_no_leak() {
    static REQUEST: Key<CancelGuard> = Key::new("request");
    let _alone = alone();
    let monitor = Monitor::start();
    let (ctx, guard) = Context::background().with_cancel();
    let ctx = ctx.with_value(&REQUEST, guard);
    monitor.track(&ctx, "request");
    drop(ctx);
    assert_no_leaks(&monitor, 2);
}

#[test]
fn what_was_dropped_is_no_leak_while_another_thread_looks_too() {
    let _alone = alone();
    let monitor = Monitor::with_log(0);
    let stop = AtomicBool::new(false);
    let (open, _open_guard) = Context::background().with_cancel();
    for nth in 0..50 {
        monitor.track(&open, nth.to_string());
    }
    let mut wrong = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                drop(monitor.leaks(Duration::ZERO));
            }
        });
        for _ in 0..500 {
            let (ctx, guard) = Context::background().with_cancel();
            monitor.track(&ctx, "dropped");
            thread::yield_now();
            drop((guard.disarm(), ctx));
            wrong += usize::from(names(&monitor, Duration::ZERO).contains(&"dropped".to_owned()));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(wrong, 0);
}

#[test]
fn the_path_of_what_is_tracked_has_the_names_of_its_values() {
    static NAME: Key<&str> = Key::new("name");
    let _alone = alone();
    let monitor = Monitor::start();
    let (ctx, _guard) = Context::background().with_cancel();
    let ctx = ctx.with_value(&NAME, "a");
    monitor.track(&ctx, "it");
    assert_eq!(monitor.leaks(Duration::ZERO)[0].path, ctx.to_string());
}

#[test]
fn what_is_over_is_forgotten_though_nobody_looks() {
    let _alone = alone();
    let monitor = Monitor::with_log(0);
    for nth in 0..10_000 {
        let (ctx, _guard) = Context::background().with_cancel();
        monitor.track(&ctx, nth.to_string());
    }
    assert!(monitor.stats().active <= 65, "{}", monitor.stats());
    assert!(monitor.events().is_empty(), "a log with no room");
    assert_eq!(monitor.events_lost(), 0);
}

#[test]
fn the_log_keeps_the_last_events_in_order_and_says_how_many_it_lost() {
    let _alone = alone();
    let monitor = Monitor::with_log(4);
    let (ctx, guard) = Context::background().with_cancel();
    monitor.track(&ctx, "it");
    drop((guard, ctx));
    assert!(names(&monitor, Duration::ZERO).is_empty());
    let events = monitor.events();
    let told: Vec<_> = events.iter().map(|entry| entry.event.to_string()).collect();
    assert_eq!(told[..2], ["tracked: it", "1 ended: context canceled"]);
    assert!(told[2].starts_with("over: it, found after "), "{}", told[2]);
    assert!(told[2].ends_with("context canceled"), "{}", told[2]);
    assert_eq!(told[3], "1 gone");
    assert_eq!(monitor.events_lost(), 1, "the creation");
    assert!(events.is_sorted_by_key(|entry| entry.at));
    assert!(matches!(
        &events[2].event,
        MonitorEvent::Over {
            error: Some(Error::Canceled),
            ..
        }
    ));
}

struct Others(Arc<AtomicUsize>);

impl monitor::Hooks for Others {
    fn created(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_monitor_that_is_dropped_takes_its_own_hooks_away_and_no_others() {
    let _alone = alone();
    let first = Monitor::start();
    drop(Context::background().with_cancel());
    assert_eq!(first.stats().created, 1);
    let second = Monitor::start();
    drop(Context::background().with_cancel());
    assert_eq!((first.stats().created, second.stats().created), (1, 1));
    drop(first);
    drop(Context::background().with_cancel());
    assert_eq!(second.stats().created, 2, "the second one is there yet");

    let others = Arc::new(AtomicUsize::new(0));
    monitor::install(Some(Box::new(Others(Arc::clone(&others)))));
    drop(second);
    drop(Context::background().with_cancel());
    assert_eq!(others.load(Ordering::SeqCst), 1);
    monitor::install(None);
    assert_eq!(Arc::strong_count(&others), 1);
}

#[test]
fn many_threads_at_once_are_counted_to_the_last() {
    let _alone = alone();
    let monitor = Monitor::start();
    let (root, root_guard) = Context::background().with_cancel();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for nth in 0..2_000 {
                    let (ctx, guard) = root.with_cancel();
                    let (timed, _timed_guard) = ctx.with_timeout(DAY);
                    match nth % 4 {
                        0 => drop(root.batch(3)),
                        1 => drop(guard.disarm()),
                        2 => monitor.track(&timed, "t"),
                        _ => drop(timed),
                    }
                }
            });
        }
    });
    drop((root, root_guard));
    let _ = monitor.leaks(Duration::ZERO);
    let stats = monitor.stats();
    assert_eq!(stats.created, 1 + 4 * (2_000 * 2 + 500 * 3));
    assert_eq!(stats.active, 0, "{stats}");
    assert!(stats.canceled <= stats.created, "{stats}");
}

fn nodes(tree: &ContextTree) -> Vec<serde_json::Value> {
    let json: serde_json::Value = serde_json::from_str(&tree.to_json()).expect("it is JSON");
    json["nodes"].as_array().expect("nodes").clone()
}

#[test]
fn names_may_be_anything_and_are_drawn_as_they_are() {
    let _alone = alone();
    let (ctx, _guard) = Context::background().with_cancel();
    let hostile = [
        "\"];x->y;\"",
        "back\\slash \\N",
        "line\nbreak\r\u{0}\u{7f}\u{1b}[31m\u{85}",
        "</script>é 🦀 \u{2028}",
        "",
    ];
    let tree = ContextTree::of(&ctx, hostile.map(|name| (name, &ctx)));
    let read = nodes(&tree);
    let read: Vec<_> = read[0]["names"].as_array().expect("names").iter().collect();
    assert_eq!(read, hostile);

    let dot = tree.to_dot();
    let label = dot.split("label=\"").nth(1).expect("one box");
    let mut escaped = false;
    let end = label.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    let rest = &label[end.expect("the label ends")..];
    assert_eq!(rest, "\"];\n}\n", "and nothing of a name is behind it");
    assert!(!dot.chars().any(|c| c.is_control() && c != '\n'));
    assert_eq!(tree.to_string().lines().count(), 1);
}

#[test]
fn a_tree_is_what_leads_from_its_root_to_what_was_named() {
    let _alone = alone();
    let (engine, clock) = Engine::builder().manual_clock().expect("no thread");
    let (server, _g1) = engine.background().with_cancel();
    let (request, g2) = server.with_timeout(DAY);
    let (query, _g3) = request.with_cancel();
    let (beside, _g4) = server.with_cancel();
    let (elsewhere, _g5) = Context::background().with_cancel();
    let (merged, _g6) = Context::merge([&elsewhere, &beside]);
    let named = [
        ("server", &server),
        ("query", &query),
        ("elsewhere", &elsewhere),
        ("merged", &merged),
    ];
    clock.advance(DAY / 2);
    let tree = ContextTree::of(&server, named);
    let all = nodes(&tree);
    let seen: Vec<_> = all
        .iter()
        .map(|node| (node["names"][0].as_str(), node["parent"].as_u64()))
        .collect();
    assert_eq!(
        seen,
        [
            (Some("server"), None),
            (None, Some(0)),
            (Some("query"), Some(1)),
            (None, Some(0)),
            (Some("merged"), Some(3)),
        ],
        "the merged one by the parent that is here"
    );
    assert_eq!(all[1]["deadline_ms"], 43_200_000);
    assert_eq!(all[1]["state"], "live");
    g2.cancel();
    let all = nodes(&ContextTree::of(&server, named));
    assert_eq!(
        (&all[1]["state"], &all[2]["state"]),
        (&"canceled".into(), &"canceled".into())
    );

    let node_named = |tree: &ContextTree, name: &str| {
        let mut all = nodes(tree).into_iter();
        all.find(|node| node["names"][0] == name)
            .expect("it is shown")
    };
    let parents_beside = |tree| {
        node_named(tree, "merged")["also_under"]
            .as_array()
            .map(Vec::len)
    };
    let whole = ContextTree::of(&Context::background(), named);
    assert_eq!(nodes(&whole)[0]["kind"], "Background");
    let first = &node_named(&whole, "elsewhere")["id"];
    assert_eq!(&node_named(&whole, "merged")["parent"], first);
    assert_eq!(
        parents_beside(&whole),
        Some(0),
        "its other parent is not shown"
    );

    let both = [
        ("beside", &beside),
        ("elsewhere", &elsewhere),
        ("merged", &merged),
    ];
    let whole = ContextTree::of(&Context::background(), both);
    assert_eq!(parents_beside(&whole), Some(1));
    assert!(whole.to_dot().contains("[style=dashed]"));
    assert!(whole.to_string().contains(", merged from 1 more"));
}

#[test]
fn what_hangs_beside_is_counted() {
    let _alone = alone();
    let (ctx, _guard) = Context::background().with_cancel();
    let (child, _child_guard) = ctx.with_cancel();
    let others: Vec<(Context, CancelGuard)> = (0..3).map(|_| ctx.with_cancel()).collect();
    let tree = ContextTree::of(&ctx, [("child", &child)]);
    assert_eq!(nodes(&tree)[0]["more"], 3);
    drop(others);
    let tree = ContextTree::of(&ctx, [("child", &child)]);
    assert_eq!(nodes(&tree)[0]["more"], 0);
}

#[test]
fn a_tree_a_hundred_thousand_deep_is_built_and_written_on_a_small_stack() {
    let _alone = alone();
    let small = thread::Builder::new().stack_size(256 * 1024);
    let deep = small.spawn(|| {
        let mut chain = vec![Context::background().with_cancel()];
        for at in 0..100_000 {
            let next = chain[at].0.with_cancel();
            chain.push(next);
        }
        let leaf = &chain[100_000].0;
        let tree = ContextTree::of(&Context::background(), [("leaf", leaf)]);
        let written = (tree.to_string(), tree.to_dot(), nodes(&tree).len());
        assert_eq!(leaf.origin(), None);
        chain[0].1.cancel();
        let depth = leaf.origin().expect("it is done").depth();
        drop(chain);
        (
            written.0.lines().count(),
            written.1.lines().count() > 200_000,
            written.2,
            depth,
        )
    });
    let (lines, dot, json, depth) = deep.expect("it starts").join().expect("no overflow");
    assert_eq!((lines, dot, json, depth), (100_002, true, 100_002, 100_000));
}

#[test]
fn a_leak_is_found_and_named_and_the_tree_drawn() {
    let _alone = alone();
    debugging::main().expect("it needs no thread");
    let found = debugging::find_the_leak().expect("it needs no thread");

    let [leak] = &found.leaks[..] else {
        panic!("{:?}", found.leaks)
    };
    assert_eq!(leak.name, "GET /stream");
    assert!(leak.age >= debugging::TOO_LONG);
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
