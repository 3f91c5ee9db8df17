//! Runs the streams of a worker's connections, each until its delivery deadline.
//!
//! Most calls finish at their first poll. So a stream is not a task at first: it is polled in place after
//! its connection has read all available bytes. The replies of these streams leave in one write, and no
//! call pays for scheduling. A stream that is not finished becomes a task.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use tokio::task::spawn_local;
use tokio::time::timeout_at;

use crate::grpc::DeliveryDeadline;

/// The executor that hyper spawns streams on.
#[derive(Default, Clone)]
pub(crate) struct Streams {
    deadline: Rc<Cell<Option<DeliveryDeadline>>>,
    started: Rc<RefCell<Vec<StartedStream>>>,
}

/// A stream that was not polled yet.
struct StartedStream {
    stream: Pin<Box<dyn Future<Output = ()>>>,
    deadline: Option<DeliveryDeadline>,
}

impl Streams {
    /// Sets the deadline of the next stream. hyper calls the service and spawns the stream of its future
    /// in one step, so the last deadline set belongs to the next stream.
    pub(super) fn set_deadline(&self, deadline: DeliveryDeadline) {
        self.deadline.set(Some(deadline));
    }

    /// Polls a connection, and after each poll the streams that started in it. Their writes wake the
    /// connection, so its next poll writes all of them.
    pub(super) fn run_beside<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
    ) -> impl Future<Output = C::Output> {
        poll_fn(move |cx| {
            let polled = connection.as_mut().poll(cx);
            self.run_started();
            polled
        })
    }

    fn run_started(&self) {
        let mut started = self.started.take();
        for StartedStream { mut stream, deadline } in started.drain(..) {
            // The no-op waker is enough: a pending stream is polled again as a task.
            if stream.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                spawn(stream, deadline);
            }
        }
        let mut next = self.started.borrow_mut();
        if next.is_empty() {
            *next = started; // keeps its allocation
        }
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let started = StartedStream { stream: Box::pin(stream), deadline: self.deadline.take() };
        self.started.borrow_mut().push(started);
    }
}

/// Spawns a stream. At its deadline it is dropped, which resets it (RST_STREAM, CANCEL).
fn spawn(stream: Pin<Box<dyn Future<Output = ()>>>, deadline: Option<DeliveryDeadline>) {
    drop(match deadline {
        Some(DeliveryDeadline::At(instant)) => {
            spawn_local(async move { drop(timeout_at(instant, stream).await) })
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
