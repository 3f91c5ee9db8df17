//! Runs the streams of a worker's connections, each for as long as its call may take.
//!
//! Most calls are done at their first poll. So a stream is not a task at first: it is polled where it
//! began, once its connection has read all that there is. The replies of all of them then leave in one
//! write, and no call pays for being scheduled. What is not done by then becomes a task.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use tokio::task::spawn_local;
use tokio::time::timeout_at;

use crate::grpc::DeliveryDeadline;

/// The executor that hyper hands streams to.
#[derive(Default, Clone)]
pub(crate) struct Streams {
    bound: Rc<Cell<Option<DeliveryDeadline>>>,
    begun: Rc<RefCell<Vec<Begun>>>,
}

/// A stream that was not polled yet.
struct Begun {
    stream: Pin<Box<dyn Future<Output = ()>>>,
    bound: Option<DeliveryDeadline>,
}

impl Streams {
    /// The next stream must have ended by then. hyper asks for the service's future and hands the
    /// stream that drives it to the executor in one go, so what was expected last is what comes next.
    pub(super) fn expect(&self, bound: DeliveryDeadline) {
        self.bound.set(Some(bound));
    }

    /// Drives a connection, and after each of its turns the streams that began in it.
    ///
    /// What they write wakes the connection, which is to say: its next turn writes all of it.
    pub(super) fn run_beside<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
    ) -> impl Future<Output = C::Output> {
        poll_fn(move |cx| {
            let polled = connection.as_mut().poll(cx);
            self.run_begun();
            polled
        })
    }

    fn run_begun(&self) {
        let mut begun = self.begun.take();
        for Begun { mut stream, bound } in begun.drain(..) {
            // A task of its own is what wakes it, should it need that.
            if stream.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                spawn(stream, bound);
            }
        }
        let mut next = self.begun.borrow_mut();
        if next.is_empty() {
            *next = begun; // it keeps its memory
        }
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let begun = Begun { stream: Box::pin(stream), bound: self.bound.take() };
        self.begun.borrow_mut().push(begun);
    }
}

/// Dropped where it stands, a stream is reset (RST_STREAM, CANCEL).
fn spawn(stream: Pin<Box<dyn Future<Output = ()>>>, bound: Option<DeliveryDeadline>) {
    drop(match bound {
        Some(DeliveryDeadline::At(over)) => {
            spawn_local(async move { drop(timeout_at(over, stream).await) })
        }
        Some(DeliveryDeadline::Stall(stall)) => spawn_local(async move {
            tokio::select! {
                () = stream => {}
                () = stall.stalled() => {}
            }
        }),
        None => spawn_local(stream),
    });
}
