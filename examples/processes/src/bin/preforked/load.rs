//! Clients that ask over connections that break, and know what every answer has to be.
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
use crate::client::Outcome;
use crate::shared::ITEMS;
use crate::worker::{ATTEMPT, CLIENT, OUTCOME, REQUEST};

/// Clients at a time.
const GROUPS: u64 = 4;
/// What a client asks at once, each over a connection of its own; the next when all of it is answered.
const AT_ONCE: u64 = 4;
pub(crate) const CONNECTIONS: u64 = GROUPS * AT_ONCE;
/// Clients that come one after the other in a group.
const TURNS: u64 = 8;
pub(crate) const CLIENTS: u64 = GROUPS * TURNS;
/// Requests of a client.
pub(crate) const REQUESTS: u64 = 500;
/// Those of them that are let through.
pub(crate) const BUDGET: u64 = 400;
/// A request that takes longer, all its tries together, has hung.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// What became of a request.
struct Answered {
    outcome: Outcome,
    broken: u64,
}

/// Has all clients ask all they want. An answer that is not what it has to be is an error.
pub(crate) fn run(address: SocketAddr) -> Result<Vec<Seen>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let groups = (0..GROUPS).map(|group| tokio::task::spawn_local(serve_clients(address, group)));
        let mut seen = Vec::new();
        for group in groups.collect::<Vec<_>>() {
            seen.extend(group.await??);
        }
        Ok(seen)
    })
}

async fn serve_clients(address: SocketAddr, group: u64) -> Result<Vec<Seen>, Failure> {
    let mut connections: Vec<Option<Connection>> = (0..AT_ONCE).map(|_| None).collect();
    let mut all = Vec::new();
    for turn in 0..TURNS {
        let mut seen = Seen { name: format!("client-{}", group * TURNS + turn), ..Seen::default() };
        let mut number = 0;
        while number < REQUESTS {
            let mut asking = Vec::new();
            for connection in connections.drain(..) {
                number += 1;
                // All groups come to an item at about the same time, and there are new ones all along.
                let item = (turn * BUDGET + number - 1) / 2 % ITEMS;
                let asked = ask(address, connection, seen.name.clone(), number, item);
                asking.push(tokio::task::spawn_local(asked));
            }
            for answer in asking {
                let (connection, Answered { outcome, broken }) = answer.await??;
                connections.push(connection);
                seen.broken += broken;
                match outcome {
                    Outcome::Hit => seen.hits += 1,
                    Outcome::Miss => seen.misses += 1,
                    Outcome::Refused => seen.refused += 1,
                }
            }
        }
        all.push(seen);
    }
    Ok(all)
}

/// Asks until there is an answer, and checks it. Keeps the connection.
async fn ask(
    address: SocketAddr,
    mut connection: Option<Connection>,
    client: String,
    number: u64,
    item: u64,
) -> Result<(Option<Connection>, Answered), Failure> {
    let mut broken = 0;
    let trying = async {
        loop {
            let request = Request::get(format!("/item/{item}"))
                .header("host", "preforked")
                .header(CLIENT, &client)
                .header(REQUEST, number)
                .header(ATTEMPT, broken + 1)
                .body(Empty::new())?;
            if let Ok(response) = try_once(address, &mut connection, request).await {
                return Ok::<_, Failure>(response);
            }
            broken += 1;
            connection = None;
        }
    };
    let Ok(response) = tokio::time::timeout(PATIENCE, trying).await else {
        return Err(format!("{client} has no answer to {number} after {PATIENCE:?}").into());
    };
    let response = response?;
    let Some(outcome) = outcome(&response, number, item) else {
        let (status, body) = (response.status(), String::from_utf8_lossy(response.body()));
        let body = body.trim_end();
        return Err(format!("{client} asked {number}, and the answer was {status}: {body}").into());
    };
    Ok((connection, Answered { outcome, broken }))
}

/// Returns what an answer says, where that is what it has to say.
fn outcome(response: &Response<Bytes>, number: u64, item: u64) -> Option<Outcome> {
    let said = response.headers().get(OUTCOME)?;
    let outcome = [Outcome::Refused, Outcome::Hit, Outcome::Miss].into_iter().find(|it| it.name() == said)?;
    let is_right = match outcome {
        Outcome::Refused => response.status() == StatusCode::TOO_MANY_REQUESTS && number > BUDGET,
        Outcome::Hit | Outcome::Miss => {
            let text = format!("item {item} of {ITEMS}: ");
            response.status() == StatusCode::OK
                && number <= BUDGET
                && response.body().starts_with(text.as_bytes())
        }
    };
    is_right.then_some(outcome)
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
