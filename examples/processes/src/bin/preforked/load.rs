//! A client with many connections, each of which asks one thing after the other, and asks again where a
//! connection breaks.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;

use crate::Failure;
use crate::shared::ITEMS;

const CONNECTIONS: u64 = 16;
/// A request that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the client saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answered: u64,
    /// Answers other than 200.
    pub(crate) errors: u64,
    /// Requests whose connection broke before the answer came.
    pub(crate) broken: u64,
}

/// Asks for so many items.
pub(crate) fn run(address: SocketAddr, requests: u64) -> Result<Seen, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seen = Rc::new(RefCell::new(Seen::default()));
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut tasks = Vec::new();
        for connection in 0..CONNECTIONS {
            let seen = Rc::clone(&seen);
            let share = requests / CONNECTIONS + u64::from(connection < requests % CONNECTIONS);
            tasks.push(tokio::task::spawn_local(ask(address, connection, share, seen)));
        }
        for task in tasks {
            task.await??;
        }
        Ok::<_, Failure>(())
    })?;
    let seen = *seen.borrow();
    Ok(seen)
}

async fn ask(address: SocketAddr, first: u64, requests: u64, seen: Rc<RefCell<Seen>>) -> Result<(), Failure> {
    let mut connection = None;
    let mut done = 0;
    while done < requests {
        let item = (first + done) % u64::try_from(ITEMS)?;
        match tokio::time::timeout(PATIENCE, ask_once(address, &mut connection, item)).await {
            Err(_) => return Err(format!("no answer about item {item} within {PATIENCE:?}").into()),
            Ok(Ok(status)) => {
                let mut seen = seen.borrow_mut();
                seen.answered += 1;
                seen.errors += u64::from(status != StatusCode::OK);
                done += 1;
            }
            Ok(Err(_)) => {
                seen.borrow_mut().broken += 1;
                connection = None;
            }
        }
    }
    Ok(())
}

type Connection = SendRequest<Empty<Bytes>>;

async fn ask_once(
    address: SocketAddr,
    connection: &mut Option<Connection>,
    item: u64,
) -> Result<StatusCode, Failure> {
    let sender = match connection {
        Some(sender) if !sender.is_closed() => sender,
        _ => connection.insert(connect(address).await?),
    };
    sender.ready().await?;
    let request = Request::get(format!("/item/{item}")).header("host", "preforked").body(Empty::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let expected = format!("item {item} of ");
    if status == StatusCode::OK && !body.starts_with(expected.as_bytes()) {
        return Err(format!("an answer of {} bytes about something else", body.len()).into());
    }
    Ok(status)
}

async fn connect(address: SocketAddr) -> Result<Connection, Failure> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async move {
        // Its end shows in the requests.
        let _ended = connection.await;
    });
    Ok(sender)
}
