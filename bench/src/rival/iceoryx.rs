//! iceoryx2: publish-subscribe over shared memory, polled without a pause, which is its fastest way.

use std::mem::MaybeUninit;

use anyhow::{Context, Result};
use iceoryx2::node::Node;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{
    BackpressureStrategy, Config, FileName, LogLevel, NodeBuilder, Path, SemanticString, ServiceName,
    SignalHandlingMode, ipc, set_log_level,
};
use iceoryx2::sample_mut_uninit::SampleMutUninit;
use iceoryx2::service::port_factory::PortFactory as _;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;

use super::link::{Link, Shape};
use crate::harness::Stage;

type Service = PortFactory<ipc::Service, [u64], ()>;
type Loan = SampleMutUninit<ipc::Service, [MaybeUninit<u64>], ()>;

/// A node whose files are in the sample's folder, and which leaves signals to us.
///
/// # Errors
/// Where it cannot be made.
pub(crate) fn node(stage: &Stage) -> Result<Node<ipc::Service>> {
    set_log_level(LogLevel::Fatal);
    let mut config = Config::default();
    let folder = stage.folder.to_str().context("the folder's name is text")?;
    config.global.set_root_path(&Path::new(folder.as_bytes())?);
    // One file of each node stays behind in /dev/shm: so named, the run removes it at its end.
    config.global.prefix = FileName::new(format!("{}_", stage.run()?).as_bytes())?;
    let builder = NodeBuilder::new().config(&config).signal_handling_mode(SignalHandlingMode::Disabled);
    Ok(builder.create::<ipc::Service>()?)
}

/// The name of a service that no other sample has.
///
/// # Errors
/// Where the folder's name cannot be part of it.
pub(crate) fn service_name(stage: &Stage, what: &str) -> Result<ServiceName> {
    let folder = stage.folder.to_str().context("the folder's name is text")?;
    Ok(format!("{folder}/{what}").as_str().try_into()?)
}

/// With `BEST`, a service for exactly two, with no more room than is needed, and the next chunk is borrowed
/// while the answer is on its way, as its own benchmark does; otherwise its defaults.
pub(crate) struct Iceoryx<const BEST: bool> {
    publisher: Publisher<ipc::Service, [u64], ()>,
    subscriber: Subscriber<ipc::Service, [u64], ()>,
    /// What was borrowed ahead, where all messages are as long.
    ahead: Option<Loan>,
    shape: Shape,
    outgoing: Service,
    incoming: Service,
    _node: Node<ipc::Service>,
}

impl<const BEST: bool> Link for Iceoryx<BEST> {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        let node = node(stage)?;
        let service = |side: usize| -> Result<Service> {
            let name = service_name(stage, ["there", "back"][side])?;
            let mut builder = node.service_builder(&name).publish_subscribe::<[u64]>();
            if BEST {
                builder = builder.max_publishers(1).max_subscribers(1).history_size(0);
                builder = builder.subscriber_max_buffer_size(shape.depth).subscriber_max_borrowed_samples(1);
            }
            // A stream must arrive complete.
            Ok(builder.enable_safe_overflow(shape.depth == 1).open_or_create()?)
        };
        let (outgoing, incoming) = (service(stage.side)?, service(1 - stage.side)?);
        let publisher = outgoing
            .publisher_builder()
            .initial_max_slice_len(shape.words)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()?;
        let subscriber = incoming.subscriber_builder().create()?;
        Ok(Self { publisher, subscriber, ahead: None, shape, outgoing, incoming, _node: node })
    }

    fn connect(&mut self, _stage: &Stage) -> Result<()> {
        let seen = |service: &Service| {
            let found = service.dynamic_config();
            found.number_of_publishers() == 1 && found.number_of_subscribers() == 1
        };
        while !seen(&self.outgoing) || !seen(&self.incoming) {
            std::thread::yield_now();
        }
        // What does not fit into a connection is lost until its other end is open, so one message comes
        // first.
        self.send(self.shape.words, |words| words.fill(0))?;
        self.receive(|_| ())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        let mut loan = match self.ahead.take() {
            Some(loan) => loan,
            None => self.publisher.loan_slice_uninit(words)?,
        };
        // SAFETY: any bytes of this memory are words, and nobody else has the loan.
        fill(unsafe { loan.payload_mut().assume_init_mut() });
        // SAFETY: as above, and it is filled.
        unsafe { loan.assume_init() }.send()?;
        if BEST && self.shape.depth == 1 {
            self.ahead = Some(self.publisher.loan_slice_uninit(self.shape.words)?);
        }
        Ok(())
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        loop {
            if let Some(sample) = self.subscriber.receive()? {
                return Ok(look(sample.payload()));
            }
        }
    }
}
