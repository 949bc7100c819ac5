//! The caller: starts the callee, makes its calls, gives half of them up, and compares what was counted.

use crate::wire::{Ask, WorkClient};
use ripcord::tonic::{ClientLayer, ClientService, RequestExt, error};
use ripcord::{Cause, Context, Error};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

type Client = WorkClient<ClientService<Channel>>;

/// Whether the two sides counted the same.
pub async fn run(calls: u64) -> Result<bool, Box<dyn std::error::Error>> {
    let mut callee = Command::new(std::env::current_exe()?)
        .arg("--callee")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = callee.stdout.take().ok_or("the callee has an output")?;
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address).await?;

    // All that this program does is to be over in a minute.
    let (ctx, _guard) = Context::background().with_timeout(Duration::from_secs(60));
    let endpoint = Endpoint::from_shared(format!("http://{}", address.trim()))?;
    let channel = ctx.run(endpoint.connect()).await??;
    let mut client = Client::new(ClientLayer::new(&ctx).layer(channel));

    let (mut answered, mut gave_up) = (0, 0);
    for call in 0..calls {
        if call % 2 == 0 {
            wait_for_the_end(&mut client, &ctx).await?;
            answered += 1;
        } else {
            give_up(&mut client, &ctx).await?;
            gave_up += 1;
        }
    }
    let counts = client.ask(Request::new(Ask { steps: calls })).await?;
    let [begun, finished, stopped] = counts.numbers[..] else {
        return Err("the callee has three counters".into());
    };
    println!("caller: {calls} called, {answered} answered, {gave_up} given up");
    println!("callee: {begun} begun, {finished} finished, {stopped} stopped");

    drop(callee.stdin.take()); // the callee goes when its input ends
    callee.wait().await?;
    Ok((begun, finished, stopped) == (calls, answered, gave_up))
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
