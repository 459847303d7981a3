//! Ground for the model checkers: participants that live, and threads.

use mapwright_core::peer::{Identity, Oracle};

#[cfg(loom)]
pub(crate) use loom::thread::spawn;
#[cfg(shuttle)]
pub(crate) use shuttle::thread::spawn;

/// The participant of a seat, to whom everybody is alive.
#[derive(Debug)]
pub(crate) struct Everybody {
    me: Identity,
}

impl Everybody {
    pub(crate) fn at(seat: usize) -> Self {
        Self { me: Identity::new(seat, 1) }
    }
}

impl Oracle for Everybody {
    fn me(&self) -> Identity {
        self.me
    }

    fn is_alive(&self, _who: Identity) -> bool {
        true
    }

    fn is_short_alive(&self, _short: u32) -> bool {
        true
    }

    fn knows_thread_ids(&self) -> bool {
        false
    }
}

/// Runs a model in every order of its steps with three interruptions, or under shuttle in many random ones.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_with(3, model);
}

/// The same with another number of interruptions.
#[cfg_attr(shuttle, allow(unused_variables, reason = "random orders have no bound"))]
pub(crate) fn explore_with(interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    #[cfg(loom)]
    {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(interruptions);
        builder.max_branches = 20_000;
        builder.check(model);
    }
    #[cfg(shuttle)]
    {
        let mut config = shuttle::Config::new();
        // Formatting alone overflows what a thread has otherwise.
        config.stack_size = 1 << 20;
        let orders = shuttle::scheduler::RandomScheduler::new(20_000);
        shuttle::Runner::new(orders, config).run(model);
    }
}
