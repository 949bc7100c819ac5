//! The caller: starts the callee, makes its calls, gives half of them up, and compares what was counted.

use super::callee::LISTENING;
use super::wire::{Ask, WorkClient};
use ripcord::tonic::{ClientLayer, ClientService, RequestExt, error};
use ripcord::{Cause, Context, Error};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

type Client = WorkClient<ClientService<Channel>>;

/// What the caller saw of its calls, and what the callee counted.
#[derive(Debug, PartialEq, Eq)]
pub struct Counted {
    pub answered: u64,
    pub given_up: u64,
    pub begun: u64,
    pub finished: u64,
    pub stopped: u64,
}

/// Makes so many calls to the process that `callee` starts.
pub async fn run(calls: u64, mut callee: Command) -> Result<Counted, Box<dyn std::error::Error>> {
    let mut callee = callee
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut output =
        BufReader::new(callee.stdout.take().ok_or("the callee has no output")?).lines();
    let address = loop {
        let line = output.next_line().await?.ok_or("the callee has ended")?;
        if let Some((_, address)) = line.split_once(LISTENING) {
            break address.to_owned();
        }
    };

    // All that this program does is to be over in a minute.
    let (ctx, _guard) = Context::background().with_timeout(Duration::from_secs(60));
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let channel = ctx.run(endpoint.connect()).await??;
    let mut client = Client::new(ClientLayer::new(&ctx).layer(channel));

    let (mut answered, mut given_up) = (0, 0);
    for call in 0..calls {
        if call % 2 == 0 {
            wait_for_the_end(&mut client, &ctx).await?;
            answered += 1;
        } else {
            give_up(&mut client, &ctx).await?;
            given_up += 1;
        }
    }
    let counts = client.ask(Request::new(Ask { steps: calls })).await?;
    let [begun, finished, stopped] = counts.numbers[..] else {
        return Err("the callee has three counters".into());
    };
    drop(callee.stdin.take()); // it goes when its input ends
    callee.wait().await?;
    Ok(Counted {
        answered,
        given_up,
        begun,
        finished,
        stopped,
    })
}

async fn wait_for_the_end(client: &mut Client, ctx: &Context) -> Result<(), Status> {
    let request = Request::new(Ask { steps: 10 }).under(ctx);
    let mut answers = client.follow(request).await?;
    while let Some(answer) = answers.message().await? {
        if answer.numbers.first() == Some(&10) {
            return Ok(());
        }
    }
    Err(Status::data_loss("the work ended before its last step"))
}

/// The callee would work for ever. That it has begun is known by its first answer.
async fn give_up(client: &mut Client, ctx: &Context) -> Result<(), Status> {
    let (call, guard) = ctx.with_cancel();
    let request = Request::new(Ask { steps: u64::MAX }).under(&call);
    let mut answers = client.follow(request).await?;
    answers.message().await?;
    guard.cancel_with(Cause::msg("nobody waits any more"));
    match answers.message().await {
        Err(status) if error(&status) == Some(Error::Canceled) => Ok(()),
        Err(status) => Err(status),
        Ok(_) => Err(Status::internal("a call that was given up went on")),
    }
}
