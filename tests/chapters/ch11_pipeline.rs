#[path = "../../examples/11_pipeline.rs"]
mod pipeline;

use pipeline::Run;
use ripcord::Context;

const ALL: [u64; 5] = [14, 26, 46, 74, 110];

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn all_numbers_go_through_all_stages() {
    pipeline::main();
    let root = Context::background();
    let whole = Run {
        results: ALL.to_vec(),
        passed_on: [10, 10, 10, 5],
    };
    assert_eq!(pipeline::on_threads(&root, 10, usize::MAX), whole);
    assert_eq!(block_on(pipeline::as_stream(&root, 10, usize::MAX)), whole);
    assert_eq!(pipeline::STAGES.len(), whole.passed_on.len());
}

#[test]
fn threads_that_are_cancelled_in_the_middle_stop_and_lose_count_of_nothing() {
    let run = pipeline::on_threads(&Context::background(), u64::MAX, 3);
    assert_eq!(run.results, ALL[..3]);
    let [generated, squared, raised, kept] = run.passed_on;
    // A stage is at most so far ahead of the next: one in the channel, one in its hand.
    assert!(kept >= 3 && raised >= 2 * kept, "{run:?}");
    assert!(generated >= squared && squared >= raised, "{run:?}");
    assert!(generated <= 2 * kept + 10, "{run:?}");
}

#[test]
fn a_stream_that_is_cancelled_ends_at_the_next_number() {
    let run = block_on(pipeline::as_stream(&Context::background(), u64::MAX, 3));
    assert_eq!(run.results, ALL[..3]);
    assert_eq!(run.passed_on, [6, 6, 6, 3]);
}

#[test]
fn under_a_context_that_is_done_nothing_comes_out() {
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel();
    let run = block_on(pipeline::as_stream(&ctx, 10, usize::MAX));
    assert_eq!((run.results, run.passed_on), (vec![], [0; 4]));
}
