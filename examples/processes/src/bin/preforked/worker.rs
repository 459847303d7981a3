//! One worker: takes connections from the common socket, and answers them.

use std::convert::Infallible;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::rc::Rc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::Failure;
use crate::shared::{BODY, Body, ITEMS, Shared};

/// Serves until it is killed, or its parent is gone.
pub(crate) fn run(segment: &str) -> Result<(), Failure> {
    let _asked = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let shared = Rc::new(Shared::open(segment)?);
    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let shared = Rc::clone(&shared);
            tokio::task::spawn_local(async move {
                let service = service_fn(move |request| {
                    let shared = Rc::clone(&shared);
                    async move { Ok::<_, Infallible>(answer(&shared, &request)) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that goes away in the middle is its own affair.
                let _ended = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let result = match request.uri().path() {
        "/counters" => {
            shared.counters().map(|counters| (StatusCode::OK, Bytes::from(format!("{counters:#?}\n"))))
        }
        path => match path.strip_prefix("/item/").and_then(|item| item.parse().ok()) {
            Some(item) => serve_item(shared, item),
            None => Ok((StatusCode::NOT_FOUND, Bytes::from("there are /item/N and /counters\n"))),
        },
    };
    let (status, body) =
        result.unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, Bytes::from(format!("{error}\n"))));
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

fn serve_item(shared: &Shared, item: u64) -> Result<(StatusCode, Bytes), Failure> {
    if !shared.may_pass()? {
        return Ok((StatusCode::TOO_MANY_REQUESTS, Bytes::from("later\n")));
    }
    let (body, was_cached) = shared.body(item, || render(item))?;
    shared.count(item, was_cached)?;
    Ok((StatusCode::OK, Bytes::copy_from_slice(&body)))
}

/// What takes long, and is done once for all workers.
fn render(item: u64) -> Body {
    let mut body = [b'.'; BODY];
    let text = format!("item {item} of {ITEMS}\n");
    body[..text.len()].copy_from_slice(text.as_bytes());
    body[BODY - 1] = b'\n';
    body
}
