//! The callee: works for each call on a thread, and counts what becomes of that.

use super::wire::{Answer, Ask, Work, WorkServer};
use ripcord::tonic::{RequestExt, ServerLayer};
use ripcord::{Context, Error};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codegen::BoxStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// What is before the address, on the output.
pub const LISTENING: &str = "listening on ";

/// What became of the work.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    begun: u64,
    finished: u64,
    stopped: u64,
}

struct Callee {
    counts: Arc<watch::Sender<Counts>>,
}

/// Serves until its input ends, as it does when the caller is gone. Says on its output where.
pub async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{LISTENING}{}", listener.local_addr()?);
    let (running, stop) = Context::background().with_cancel();
    let callee = Callee {
        counts: Arc::new(watch::Sender::new(Counts::default())),
    };
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        stop.cancel();
    });
    Server::builder()
        .layer(ServerLayer::new(&running))
        .add_service(WorkServer(Arc::new(callee)))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            running.done().await;
        })
        .await?;
    Ok(())
}

impl Work for Callee {
    /// The counters, once that many calls have ended: begun, finished, stopped.
    async fn ask(&self, request: Request<Ask>) -> Result<Response<Answer>, Status> {
        let ctx = request.context().cloned().unwrap_or_default();
        let ended = request.get_ref().steps;
        let mut counts = self.counts.subscribe();
        let all = ctx
            .run(counts.wait_for(|counts| counts.finished + counts.stopped >= ended))
            .await?;
        let all = all.map_err(|_| Status::unavailable("the callee is going"))?;
        Ok(Response::new(Answer {
            numbers: vec![all.begun, all.finished, all.stopped],
            text: String::new(),
        }))
    }

    /// Works so many steps, with an answer after the first and after the last.
    async fn follow(&self, request: Request<Ask>) -> Result<Response<BoxStream<Answer>>, Status> {
        let ctx = request.context().cloned().unwrap_or_default();
        let steps = request.get_ref().steps;
        let (answers, stream) = mpsc::channel(2);
        let counts = Arc::clone(&self.counts);
        // A thread, which nobody can stop from outside: it looks at its context.
        tokio::task::spawn_blocking(move || {
            counts.send_modify(|counts| counts.begun += 1);
            let worked = work(&ctx, steps, &answers);
            counts.send_modify(|counts| match worked {
                Ok(()) => counts.finished += 1,
                Err(_) => counts.stopped += 1,
            });
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

fn work(
    ctx: &Context,
    steps: u64,
    answers: &mpsc::Sender<Result<Answer, Status>>,
) -> Result<(), Error> {
    let mut sum = 0_u64;
    for step in 1..=steps {
        ctx.check()?;
        for number in 0..100_000 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(number));
        }
        if step == 1 || step == steps {
            // There is room for both. The caller may be gone: then so is the context.
            let _ = answers.try_send(Ok(Answer {
                numbers: vec![step, sum],
                text: String::new(),
            }));
        }
    }
    Ok(())
}
