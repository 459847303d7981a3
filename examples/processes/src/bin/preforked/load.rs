//! Clients that ask one thing after the other over connections that break, and know what every answer has to
//! be.
//!
//! A request whose connection breaks is asked again with the same number. So whatever happens to the workers,
//! the first [`BUDGET`] requests of a client are let through and those after them are refused.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::Failure;
use crate::shared::ITEMS;
use crate::worker::{ATTEMPT, CLIENT, OUTCOME, REQUEST};

/// Connections at a time; each serves one client after the other.
pub(crate) const CONNECTIONS: u64 = 16;
const CLIENTS_OF_EACH: u64 = ITEMS / BUDGET;
/// Requests of a client.
pub(crate) const REQUESTS: u64 = 250;
/// Those of them that are let through.
pub(crate) const BUDGET: u64 = 200;
pub(crate) const CLIENTS: u64 = CONNECTIONS * CLIENTS_OF_EACH;
/// A request that takes longer, all its tries together, has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one client saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) refused: u64,
    /// Tries whose connection broke before the answer came.
    pub(crate) broken: u64,
}

/// Has all clients ask all they want. An answer that is not what it has to be is an error.
pub(crate) fn run(address: SocketAddr) -> Result<Vec<Seen>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let connections =
            (0..CONNECTIONS).map(|index| tokio::task::spawn_local(serve_clients(address, index)));
        let mut seen = Vec::new();
        for connection in connections.collect::<Vec<_>>() {
            seen.extend(connection.await??);
        }
        Ok(seen)
    })
}

async fn serve_clients(address: SocketAddr, index: u64) -> Result<Vec<Seen>, Failure> {
    let mut connection = None;
    let mut all = Vec::new();
    for turn in 0..CLIENTS_OF_EACH {
        let mut seen = Seen { name: format!("client-{}", index * CLIENTS_OF_EACH + turn), ..Seen::default() };
        for number in 1..=REQUESTS {
            // All connections come to an item at about the same time, and there are new ones all along.
            let item = (turn * BUDGET + number - 1) % ITEMS;
            let asking = ask(address, &mut connection, &mut seen, number, item);
            match tokio::time::timeout(PATIENCE, asking).await {
                Ok(done) => done?,
                Err(_) => {
                    let name = &seen.name;
                    return Err(format!("{name} has no answer to {number} after {PATIENCE:?}").into());
                }
            }
        }
        all.push(seen);
    }
    Ok(all)
}

/// Asks until there is an answer, and checks it.
async fn ask(
    address: SocketAddr,
    connection: &mut Option<Connection>,
    seen: &mut Seen,
    number: u64,
    item: u64,
) -> Result<(), Failure> {
    for attempt in 1u32.. {
        let request = Request::get(format!("/item/{item}"))
            .header("host", "preforked")
            .header(CLIENT, &seen.name)
            .header(REQUEST, number)
            .header(ATTEMPT, attempt)
            .body(Empty::new())?;
        if let Ok(response) = try_once(address, connection, request).await {
            return check(seen, number, item, &response);
        }
        seen.broken += 1;
        *connection = None;
    }
    Err("more tries than can be counted".into())
}

fn check(seen: &mut Seen, number: u64, item: u64, response: &Response<Bytes>) -> Result<(), Failure> {
    let outcome = response.headers().get(OUTCOME).map_or(&b""[..], |value| value.as_bytes());
    let is_item = response.body().starts_with(format!("item {item} of ").as_bytes());
    match (response.status(), outcome, number <= BUDGET) {
        (StatusCode::OK, b"hit", true) if is_item => seen.hits += 1,
        (StatusCode::OK, b"miss", true) if is_item => seen.misses += 1,
        (StatusCode::TOO_MANY_REQUESTS, b"refused", false) => seen.refused += 1,
        (status, ..) => {
            let (name, body) = (&seen.name, String::from_utf8_lossy(response.body()));
            return Err(format!("{name} asked {number}, and the answer was {status}: {body}").into());
        }
    }
    Ok(())
}

type Connection = SendRequest<Empty<Bytes>>;

/// Any error here is a connection that broke.
async fn try_once(
    address: SocketAddr,
    connection: &mut Option<Connection>,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Bytes>, Failure> {
    let sender = match connection {
        Some(sender) if !sender.is_closed() => sender,
        _ => connection.insert(connect(address).await?),
    };
    sender.ready().await?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}

async fn connect(address: SocketAddr) -> Result<Connection, Failure> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async move {
        // Its end shows in the requests.
        let _ended = connection.await;
    });
    Ok(sender)
}
