//! A streaming function. The header `x-probe` lists the pieces that it sends and its actions, as
//! `one,sleep:50,two,exit`.

use std::time::Duration;

use lambda_http::{Error, Request, Response, service_fn};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_http::run_with_streaming_response(service_fn(answer)).await
}

async fn answer(request: Request) -> Result<Response<pieces::Pieces>, Error> {
    let script = request.headers().get("x-probe").map(|value| value.to_str().map(str::to_owned)).transpose()?;
    let script = script.unwrap_or_else(|| "one,two".to_owned());
    if script == "hang" {
        std::future::pending::<()>().await;
    }
    if script == "error" {
        return Err("asked to".into());
    }
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(play(script, sender));
    Ok(Response::builder()
        .status(201)
        .header("content-type", "text/event-stream")
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .body(pieces::Pieces(receiver))?)
}

/// Executes the steps of a script one after the other.
async fn play(script: String, sender: mpsc::Sender<Result<String, String>>) {
    for step in script.split(',') {
        match step.split_once(':') {
            Some(("sleep", milliseconds)) => {
                tokio::time::sleep(Duration::from_millis(milliseconds.parse().unwrap_or_default())).await;
            }
            _ if step == "exit" => std::process::exit(3),
            _ if step == "hang" => std::future::pending().await,
            _ if step == "error" => drop(sender.send(Err("asked to".to_owned())).await),
            _ => drop(sender.send(Ok(format!("{step}\n"))).await),
        }
    }
}

mod pieces {
    //! A channel as a body.

    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use lambda_http::lambda_runtime::Error;
    use tokio::sync::mpsc;

    /// Pieces that the script sends.
    pub(crate) struct Pieces(pub(crate) mpsc::Receiver<Result<String, String>>);

    impl http_body::Body for Pieces {
        type Data = bytes::Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Error>>> {
            self.0.poll_recv(context).map(|piece| {
                piece.map(|piece| piece.map(|text| http_body::Frame::data(text.into())).map_err(Error::from))
            })
        }
    }
}
