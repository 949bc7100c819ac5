//! What the server under test does: it says what context a call came with, and a thread of its own tells how that ended.

use crate::Ended;
use crate::wire::{Answer, Ask, Work};
use ripcord::Context;
use ripcord::propagate::{BAGGAGE, TRACE};
use ripcord::tonic::RequestExt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio_stream::StreamExt as _;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

/// How an ask is answered.
pub(crate) const AT_ONCE: u64 = 0;
pub(crate) const NEVER: u64 = 1;

pub(crate) struct Probe {
    report: UnboundedSender<Ended>,
    pub(crate) calls: AtomicUsize,
    /// One for each call that has begun.
    pub(crate) begun: Semaphore,
}

impl Probe {
    pub(crate) fn new(report: UnboundedSender<Ended>) -> Self {
        Self {
            report,
            calls: AtomicUsize::new(0),
            begun: Semaphore::new(0),
        }
    }

    /// The context of a call, watched.
    fn begin(&self, request: &Request<Ask>) -> Context {
        let ctx = request
            .context()
            .expect("the layer has put it there")
            .clone();
        self.calls.fetch_add(1, SeqCst);
        let (watched, report) = (ctx.clone(), self.report.clone());
        std::thread::spawn(move || {
            let error = watched.wait();
            let cause = watched.cause().expect("it is done");
            let _ = report.send(Ended { error, cause });
        });
        self.begun.add_permits(1);
        ctx
    }
}

impl Work for Probe {
    /// Says how many microseconds are left, the trace and the baggage.
    async fn ask(&self, request: Request<Ask>) -> Result<Response<Answer>, Status> {
        let ctx = self.begin(&request);
        if request.get_ref().steps == NEVER {
            std::future::pending::<()>().await;
        }
        let left = ctx.remaining().map(|left| left.as_micros() as u64);
        let trace = ctx.value(&TRACE).map(|trace| trace.parent.to_string());
        let baggage = ctx.value(&BAGGAGE).map(ToString::to_string);
        Ok(Response::new(Answer {
            numbers: left.into_iter().collect(),
            text: [trace, baggage]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" "),
        }))
    }

    /// So many answers, and then none for ever.
    async fn follow(&self, request: Request<Ask>) -> Result<Response<BoxStream<Answer>>, Status> {
        self.begin(&request);
        let steps = request.get_ref().steps;
        let answers = (0..steps).map(|step| {
            Ok(Answer {
                numbers: vec![step],
                text: String::new(),
            })
        });
        let answers = tokio_stream::iter(answers).chain(tokio_stream::pending());
        Ok(Response::new(Box::pin(answers)))
    }
}
