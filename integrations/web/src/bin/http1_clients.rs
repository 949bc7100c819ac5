//! Many HTTP/1.1 clients at once, in a process of their own so that a test's server has its descriptors for itself, and so
//! that they can all be gone at once: `http1_clients ADDR PATH COUNT`. All connect and ask before the first reads its
//! answer. Prints how many were answered 200, and exits with 1 if any was not.

use std::error::Error;
use std::process::ExitCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Standard streams, the runtime, and some to spare.
const OTHER_DESCRIPTORS: u64 = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addr, path, count] = arguments.as_slice() else {
        return Err("usage: http1_clients ADDR PATH COUNT".into());
    };
    let count: u64 = count.parse()?;
    let wanted = count + OTHER_DESCRIPTORS;
    let limit = rlimit::increase_nofile_limit(wanted)?;
    if limit < wanted {
        return Err(format!("{wanted} descriptors are needed and {limit} may be had").into());
    }
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(request.as_bytes()).await?;
        streams.push(stream);
    }
    let mut answered = 0;
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        answered += u64::from(answer.starts_with("HTTP/1.1 200 "));
    }
    println!("{answered}");
    Ok(ExitCode::from(u8::from(answered != count)))
}
