//! What it costs to publish a message to readers that are there but do not look meanwhile.
//!
//! All readers are in the second process, each attached for itself; in the end each must find the last
//! message.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::ipc;
use iceoryx2::service::port_factory::PortFactory as _;
use mapwright::share::{Policy, ReceiveError, Start, Topic, TopicOptions};
use ringfire::spmc::{RingConsumer, RingProducerBuilder};

use super::{A_MILLION, at_most, row_of_duos};
use crate::harness::{Duo, Folder, Meter, Role, Row, Stage, Target, Unit};
use crate::ours;
use crate::rival::{check, fill, node, service_name};

/// Words of a message.
const WORDS: usize = 8;
/// Messages that a reader may be behind before the oldest is gone.
const DEPTH: usize = 64;

pub(super) const DUOS_1: &[Duo] = &duos::<1>();
pub(super) const DUOS_10: &[Duo] = &duos::<10>();
pub(super) const DUOS_200: &[Duo] = &with_one_reader();

const ICEORYX: &str = "iceoryx2";
/// Ours with a single reader, beside ours with many.
const TO_ONE: &str = "mapwright, to 1 reader";

const fn with_one_reader() -> [Duo; 5] {
    let [limit, ours, iceoryx, ringfire] = duos::<200>();
    let to_one = Duo { name: TO_ONE, role: Role::Sibling, first: topic::<1>, second: topic_readers::<1> };
    [limit, ours, to_one, iceoryx, ringfire]
}

const fn duos<const READERS: usize>() -> [Duo; 4] {
    [
        Duo { name: "bare slots", role: Role::Limit, first: bare, second: bare_readers },
        Duo {
            name: "mapwright",
            role: Role::Ours,
            first: topic::<READERS>,
            second: topic_readers::<READERS>,
        },
        Duo {
            name: ICEORYX,
            role: Role::Rival,
            first: iceoryx::<READERS>,
            second: iceoryx_readers::<READERS>,
        },
        Duo {
            name: "ringfire",
            role: Role::Rival,
            first: ringfire::<READERS>,
            second: ringfire_readers::<READERS>,
        },
    ]
}

pub(super) fn to_1(folder: &Folder) -> Result<Row> {
    Ok(row(folder, "publish-1", 1, DUOS_1, vec![against_iceoryx()]))
}

pub(super) fn to_10(folder: &Folder) -> Result<Row> {
    Ok(row(folder, "publish-10", 10, DUOS_10, vec![against_iceoryx()]))
}

pub(super) fn to_200(folder: &Folder) -> Result<Row> {
    let targets = vec![Target::ratio("one reader", &[TO_ONE], at_most(2.0)), against_iceoryx()];
    Ok(row(folder, "publish-200", 200, DUOS_200, targets))
}

fn against_iceoryx() -> Target {
    Target::ratio("iceoryx2", &[ICEORYX], 1.0)
}

fn row(folder: &Folder, name: &'static str, readers: usize, duos: &[Duo], targets: Vec<Target>) -> Row {
    let amount = |duo: &Duo| {
        // iceoryx2 takes longer the more readers there are.
        let full = if duo.name == ICEORYX { 100_000 / (readers + 10) } else { 100_000 };
        folder.size(full, full / 20) as u64
    };
    let about = format!("publish 64 bytes to {readers} readers that do not look meanwhile");
    row_of_duos(folder, name, about, Unit::Nanoseconds { operations: A_MILLION }, duos, amount, targets)
}

/// Publishes as much again before, so that everything is connected and warm.
fn publish(stage: &mut Stage, meter: &mut Meter, mut send: impl FnMut(u64) -> Result<()>) -> Result<()> {
    (0..stage.amount).try_for_each(&mut send)?;
    let start = Instant::now();
    (stage.amount..2 * stage.amount).try_for_each(&mut send)?;
    meter.add(start.elapsed());
    meter.did(stage.amount, A_MILLION);
    stage.meet();
    stage.meet();
    Ok(())
}

/// The number of the last message.
fn last(stage: &Stage) -> u64 {
    2 * stage.amount - 1
}

fn bare(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    stage.meet();
    let memory = std::rc::Rc::clone(&stage.memory);
    publish(stage, meter, |number| {
        let slot = slot(number);
        memory.change(slot, WORDS, |words| fill(words, number));
        memory.word(slot + WORDS * 8).store(number, std::sync::atomic::Ordering::Release);
        Ok(())
    })
}

fn bare_readers(stage: &mut Stage) -> Result<()> {
    stage.meet();
    stage.meet();
    let last = last(stage);
    let found = stage.memory.word(slot(last) + WORDS * 8).load(std::sync::atomic::Ordering::Acquire);
    ensure!(found == last, "message {found} is the last, must be {last}");
    stage.memory.look(slot(last), WORDS, |words| check(words, last))?;
    stage.meet();
    Ok(())
}

fn slot(number: u64) -> usize {
    number as usize % DEPTH * 128
}

fn topic<const READERS: usize>(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    let topic: Topic<[u64; WORDS]> =
        ours::make(&stage.folder, "topic", TopicOptions::new(DEPTH).readers(READERS))?;
    let mut publisher = topic.publisher()?;
    stage.meet();
    stage.meet();
    publish(stage, meter, |number| {
        let mut message = [0; WORDS];
        fill(&mut message, number);
        Ok(publisher.publish(&message)?)
    })
}

fn topic_readers<const READERS: usize>(stage: &mut Stage) -> Result<()> {
    stage.meet();
    let topic: Topic<[u64; WORDS]> = ours::open(&stage.folder, "topic")?;
    let subscribe = |_| topic.subscribe(Policy::DropOldest, Start::Newest);
    let mut readers: Vec<_> = (0..READERS).map(subscribe).collect::<Result<_, _>>()?;
    stage.meet();
    stage.meet();
    for reader in &mut readers {
        let mut newest = None;
        loop {
            match reader.try_receive() {
                Ok(message) => newest = Some(message),
                Err(ReceiveError::Missed(_)) => {}
                Err(ReceiveError::Empty) => break,
                Err(error) => return Err(error.into()),
            }
        }
        check(&newest.context("a reader has found nothing")?, last(stage))?;
    }
    stage.meet();
    Ok(())
}

fn iceoryx<const READERS: usize>(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    let node = node(stage)?;
    let service = service::<READERS>(&node, stage)?;
    let publisher: Publisher<ipc::Service, [u64; WORDS], ()> = service.publisher_builder().create()?;
    stage.meet();
    while service.dynamic_config().number_of_subscribers() < READERS {
        std::thread::yield_now();
    }
    publish(stage, meter, |number| {
        let mut loan = publisher.loan_uninit()?;
        // SAFETY: any bytes are words.
        fill(unsafe { loan.payload_mut().assume_init_mut() }, number);
        // SAFETY: it is filled.
        let reached = unsafe { loan.assume_init() }.send()?;
        ensure!(reached == READERS, "a message has reached {reached} of {READERS} readers");
        Ok(())
    })
}

type Service =
    iceoryx2::service::port_factory::publish_subscribe::PortFactory<ipc::Service, [u64; WORDS], ()>;

fn service<const READERS: usize>(
    node: &iceoryx2::node::Node<ipc::Service>,
    stage: &Stage,
) -> Result<Service> {
    let builder = node.service_builder(&service_name(stage, "topic")?).publish_subscribe::<[u64; WORDS]>();
    let builder = builder.max_publishers(1).max_subscribers(READERS).history_size(0);
    Ok(builder.subscriber_max_buffer_size(DEPTH).open_or_create()?)
}

fn iceoryx_readers<const READERS: usize>(stage: &mut Stage) -> Result<()> {
    let node = node(stage)?;
    let service = service::<READERS>(&node, stage)?;
    let make = |_| -> Result<Subscriber<ipc::Service, [u64; WORDS], ()>> {
        Ok(service.subscriber_builder().create()?)
    };
    let readers: Vec<_> = (0..READERS).map(make).collect::<Result<_>>()?;
    stage.meet();
    stage.meet();
    for reader in &readers {
        let mut newest = None;
        while let Some(sample) = reader.receive()? {
            newest = Some(*sample.payload());
        }
        check(&newest.context("a reader has found nothing")?, last(stage))?;
    }
    stage.meet();
    Ok(())
}

fn ringfire<const READERS: usize>(stage: &mut Stage, meter: &mut Meter) -> Result<()> {
    let builder = RingProducerBuilder::new(DEPTH as u64).max_readers(READERS);
    let mut ring = builder.build::<[u64; WORDS], _>(stage.folder.join("topic"))?;
    stage.meet();
    stage.meet();
    publish(stage, meter, |number| {
        let mut message = [0; WORDS];
        fill(&mut message, number);
        ring.push(&message);
        Ok(())
    })
}

fn ringfire_readers<const READERS: usize>(stage: &mut Stage) -> Result<()> {
    stage.meet();
    let topic = stage.folder.join("topic");
    let attach = |_| -> Result<RingConsumer<[u64; WORDS]>> { Ok(RingConsumer::attach(&topic)?) };
    let mut readers: Vec<_> = (0..READERS).map(attach).collect::<Result<_>>()?;
    stage.meet();
    stage.meet();
    for reader in &mut readers {
        let newest = std::iter::from_fn(|| reader.try_recv()).last();
        check(&newest.context("a reader has found nothing")?, last(stage))?;
    }
    stage.meet();
    Ok(())
}
