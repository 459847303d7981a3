//! Messages to another process, a million of them, through shared memory and through a socket.

use std::os::unix::net::UnixDatagram;

use mapwright::share::{Event, EventOptions, Mutex, Queue, QueueOptions, ReceiveError, Segment, SendError};

use super::{Second, shared};
use crate::measure::Cost;
use crate::outcome::Failure;
use crate::tour::scene::Scene;
use crate::tour::stage::Stage;
use crate::ui::words;

/// (A debug build takes a tenth of the way.)
const MESSAGES: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
/// Numbers in a message: with the slot's own word a cache line.
type Message = [u64; 7];
const MESSAGE_BYTES: u64 = 56;

/// Sends the messages, and has their sum compared.
pub(super) fn send(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.doing("sending messages");
    let (ours, sum) = through_a_queue()?;
    let (beside, other) = through_a_socket()?;
    if sum != other || sum != expected() {
        return Err(Failure::new(format!(
            "of {MESSAGES} messages came {sum}, {other}; {} were sent",
            expected()
        )));
    }
    let a_second = words::per_second(MESSAGES, ours.time);
    let says = format!(
        "A second process of this program took {} messages of {MESSAGE_BYTES} bytes out of memory that both \
         have mapped, {} a second, and added them up to the right sum. The segment has no name: it went \
         through a socket, sealed.",
        words::count(MESSAGES),
        words::thousands(a_second),
    );
    let scene = Scene::new("Messages to another process")
        .code("sender.send(&message)?")
        .says(says)
        .ours("queue", ours)
        .beside("Unix socket", beside);
    stage.show(scene)
}

fn message(number: u64) -> Message {
    [number, 1, 2, 3, 4, 5, number]
}

fn expected() -> u64 {
    (0..MESSAGES).map(|number| message(number).iter().sum::<u64>()).sum()
}

fn through_a_queue() -> Result<(Cost, u64), Failure> {
    let segment = Segment::anonymous("tour")
        .with::<Queue<Message>>("messages", QueueOptions::new(1024))
        .with::<Mutex<u64>>("sum", 0)
        .with::<Event>("ready", EventOptions::Manual)
        .with::<Event>("done", EventOptions::Manual)
        .create()?;
    let mut sender = segment.get::<Queue<Message>>("messages")?.sender()?;
    let (ready, done): (Event, Event) = (segment.get("ready")?, segment.get("done")?);
    let second = Second::start("receive", &segment)?;
    ready.wait().map_err(shared)?;
    let (cost, ()) = Cost::of(|| {
        for number in 0..MESSAGES {
            match sender.send(&message(number)) {
                Ok(()) => {}
                Err(SendError::NoReceiver) => return Err(Failure::new("the second process has died")),
                Err(error) => return Err(shared(error)),
            }
        }
        done.wait().map_err(shared)?;
        Ok((MESSAGES * MESSAGE_BYTES, ()))
    })?;
    second.join()?;
    let sum: Mutex<u64> = segment.get("sum")?;
    let sum = sum.lock().map_err(shared)?.load();
    Ok((cost, sum))
}

/// The second process.
pub(super) fn receive(segment: &Segment) -> Result<(), Failure> {
    let mut receiver = segment.get::<Queue<Message>>("messages")?.receiver()?;
    segment.get::<Event>("ready")?.set().map_err(shared)?;
    let mut sum = 0;
    for _ in 0..MESSAGES {
        let message = match receiver.receive() {
            Ok(message) => message,
            Err(ReceiveError::NoSender) => return Err(Failure::new("the first process has died")),
            Err(error) => return Err(shared(error)),
        };
        sum += message.iter().sum::<u64>();
    }
    segment.get::<Mutex<u64>>("sum")?.lock().map_err(shared)?.store(sum);
    segment.get::<Event>("done")?.set().map_err(shared)
}

fn through_a_socket() -> Result<(Cost, u64), Failure> {
    let failed = |cause| Failure::os("send through", "a socket", cause);
    let (here, there) = UnixDatagram::pair().map_err(failed)?;
    let second = Second::start_with("socket", there.into())?;
    let mut sum = [0; 8];
    let (cost, ()) = Cost::of(|| {
        for number in 0..MESSAGES {
            let mut bytes = [0; 56];
            for (target, value) in bytes.chunks_exact_mut(8).zip(message(number)) {
                target.copy_from_slice(&value.to_ne_bytes());
            }
            here.send(&bytes)?;
        }
        here.recv(&mut sum)?;
        Ok((MESSAGES * MESSAGE_BYTES, ()))
    })
    .map_err(failed)?;
    second.join()?;
    Ok((cost, u64::from_ne_bytes(sum)))
}

/// The second process, the old way.
pub(super) fn receive_from_socket(socket: &UnixDatagram) -> Result<(), Failure> {
    let failed = |cause| Failure::os("receive from", "a socket", cause);
    let mut sum = 0u64;
    for _ in 0..MESSAGES {
        let mut bytes = [0; 56];
        socket.recv(&mut bytes).map_err(failed)?;
        for chunk in bytes.chunks_exact(8) {
            let mut number = [0; 8];
            number.copy_from_slice(chunk);
            sum += u64::from_ne_bytes(number);
        }
    }
    socket.send(&sum.to_ne_bytes()).map(drop).map_err(failed)
}
