//! One worker: takes connections from the common socket, and answers them.

use std::convert::Infallible;
use std::net::{IpAddr, TcpListener};
use std::os::fd::AsFd;
use std::rc::Rc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::Failure;
use crate::client::{Asked, WINDOW};
use crate::shared::{Answer, ITEMS, LONGEST_NAME, Shared};

/// Who asks; the address where nothing is said.
pub(crate) const CLIENT: &str = "x-client";
/// The client's own number of the request, by which it is known when it comes again.
pub(crate) const REQUEST: &str = "x-request";
/// Which try of the request it is.
pub(crate) const ATTEMPT: &str = "x-attempt";
/// In the answer: what was counted.
pub(crate) const OUTCOME: &str = "x-outcome";

/// Serves until it is killed, or its parent is gone.
pub(crate) fn run(segment: &str, parent: &str) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // One that was gone before that sends no signal.
    if rustix::process::getppid().map(rustix::process::Pid::as_raw_pid) != Some(parent.parse()?) {
        return Ok(());
    }
    let shared = Rc::new(Shared::open(segment)?);
    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, from) = listener.accept().await?;
            // Small answers, each awaited by its client: nothing to wait for.
            stream.set_nodelay(true)?;
            let shared = Rc::clone(&shared);
            tokio::task::spawn_local(async move {
                let service = service_fn(move |request| {
                    let shared = Rc::clone(&shared);
                    async move { Ok::<_, Infallible>(answer(&shared, from.ip(), &request)) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that goes away in the middle is its own affair.
                let _ended = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

fn answer(shared: &Shared, from: IpAddr, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let item = path.strip_prefix("/item/").and_then(|item| item.parse().ok()).filter(|&item| item < ITEMS);
    let result = match (path, item) {
        (_, Some(item)) => match identify(from, request) {
            Ok((client, asked)) => shared.ask(client.as_bytes(), asked, item).map(describe),
            Err(why) => Ok(plain(StatusCode::BAD_REQUEST, format!("{why}\n"))),
        },
        ("/counters", None) => {
            shared.counters().map(|counters| plain(StatusCode::OK, format!("{counters:#?}\n")))
        }
        _ => {
            let there = format!("there are /item/0 to /item/{} and /counters\n", ITEMS - 1);
            Ok(plain(StatusCode::NOT_FOUND, there))
        }
    };
    result.unwrap_or_else(|error| plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))
}

/// Finds out who asks, and which of its requests it is where it says so.
fn identify(from: IpAddr, request: &Request<Incoming>) -> Result<(String, Option<Asked>), String> {
    let header = |name: &str| {
        let value = request.headers().get(name).map(HeaderValue::to_str);
        value.transpose().map_err(|_| format!("{name} has to be text"))
    };
    let client = header(CLIENT)?.map_or_else(|| from.to_string(), str::to_owned);
    if client.is_empty() || client.len() > LONGEST_NAME {
        return Err(format!("{CLIENT} has {} bytes, and 1 to {LONGEST_NAME} are allowed", client.len()));
    }
    let Some(number) = header(REQUEST)? else { return Ok((client, None)) };
    let number = number.parse().ok().filter(|&number| number > 0);
    let number = number.ok_or_else(|| format!("{REQUEST} has to be a number from 1 on"))?;
    let attempt = header(ATTEMPT)?.unwrap_or("1").parse();
    let attempt = attempt.map_err(|_| format!("{ATTEMPT} has to be a number from 1 on"))?;
    Ok((client, Some(Asked { number, attempt })))
}

fn describe(answer: Answer) -> Response<Full<Bytes>> {
    match answer {
        Answer::Item(body, outcome) => {
            let mut response = plain(StatusCode::OK, body);
            response.headers_mut().insert(OUTCOME, HeaderValue::from_static(outcome.name()));
            response
        }
        Answer::TooMany { interval_ns } => {
            let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "no token is left\n");
            response.headers_mut().insert(OUTCOME, HeaderValue::from_static("refused"));
            if interval_ns > 0 {
                let seconds = interval_ns.div_ceil(1_000_000_000);
                response.headers_mut().insert(hyper::header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
        Answer::Forgotten => {
            let why = format!("only the latest {WINDOW} requests of a client are remembered\n");
            plain(StatusCode::CONFLICT, why)
        }
        Answer::TooManyClients => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "there is no room for one more client\n")
        }
    }
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
