//! Tests of the worker.

use std::{
    cell::Cell,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
};

use super::*;

const LONG: Duration = Duration::from_secs(20);

thread_local! {
    static NO_THREADS: Cell<bool> = const { Cell::new(false) };
}

/// Lets no worker start a thread while `task` runs, as if the system had too many.
pub(crate) fn without_threads<T>(task: impl FnOnce() -> T) -> T {
    NO_THREADS.set(true);
    let done = task();
    NO_THREADS.set(false);
    done
}

pub(super) fn start_is_allowed() -> io::Result<()> {
    if NO_THREADS.get() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(())
}

/// A worker that sends each number of its state, and panics at 0.
fn sender() -> (Worker<Vec<u32>>, Receiver<u32>) {
    let (sender, sent) = mpsc::channel();
    let worker = Worker::new("test", move |context: &WorkerContext<Vec<u32>>| {
        let next = |numbers: &mut Vec<u32>| numbers.pop().map_or(Next::Wait, Next::Run);
        while let Some(number) = context.wait_for(next) {
            let _ = contain_panic(|| {
                assert_ne!(number, 0, "the task's own");
                let _ = sender.send(number);
            });
        }
    });
    (worker, sent)
}

fn push(worker: &Worker<Vec<u32>>, number: u32) {
    let pushed = worker.update(|numbers| {
        numbers.push(number);
        true
    });
    pushed.unwrap();
}

#[test]
fn the_first_update_starts_the_thread_and_each_one_wakes_it() {
    let (worker, sent) = sender();
    assert_eq!(worker.shared.peek().context.locked.lock().threads, 0);
    for number in 1..1000 {
        push(&worker, number);
        assert_eq!(sent.recv_timeout(LONG), Ok(number));
    }
}

#[test]
fn a_panic_of_a_task_does_not_end_the_thread() {
    let (worker, sent) = sender();
    push(&worker, 0);
    push(&worker, 1);
    assert_eq!(sent.recv_timeout(LONG), Ok(1));
}

#[test]
fn the_thread_of_a_dropped_worker_ends_at_once_and_keeps_nothing() {
    let (held, is_freed) = mpsc::channel::<()>();
    let (paused, is_paused) = mpsc::channel();
    let worker = Worker::start("test", move |context| {
        let _held = &held;
        paused.send(()).unwrap();
        assert!(context.pause(600 * LONG));
        assert!(context.is_stopping());
    });
    is_paused.recv_timeout(LONG).unwrap();
    drop(worker.unwrap());
    // The sender is dropped with everything that the thread holds.
    assert_eq!(
        is_freed.recv_timeout(LONG),
        Err(RecvTimeoutError::Disconnected)
    );
}

#[test]
fn a_worker_that_its_own_thread_drops_ends_afterwards() {
    let (to_thread, handed_over) = mpsc::channel::<Worker>();
    let (ended, has_ended) = mpsc::channel();
    let handed_over = Mutex::new(handed_over);
    let worker = Worker::start("test", move |context| {
        drop(handed_over.lock().recv_timeout(LONG).unwrap());
        ended.send(context.pause(600 * LONG)).unwrap();
    });
    to_thread.send(worker.unwrap()).unwrap();
    assert_eq!(has_ended.recv_timeout(LONG), Ok(true), "it is told to stop");
}

#[test]
fn a_drop_does_not_wait_for_the_task_and_the_thread_ends_after_it() {
    let (release, released) = mpsc::channel::<()>();
    let (ended, has_ended) = mpsc::channel();
    let released = Mutex::new(released);
    let worker = Worker::start("test", move |context| {
        let _ = released.lock().recv_timeout(LONG);
        ended.send(context.pause(600 * LONG)).unwrap();
    });
    drop(worker.unwrap());
    assert!(has_ended.try_recv().is_err(), "its task still runs");
    release.send(()).unwrap();
    assert_eq!(has_ended.recv_timeout(LONG), Ok(true), "it is told to stop");
}

/// A worker of two threads. Each sends its task's number when it begins, and waits for the end.
fn pair() -> (Worker<Vec<u32>>, Receiver<u32>, mpsc::Sender<()>) {
    let ((sender, sent), (end, may_end)) = (mpsc::channel(), mpsc::channel());
    let may_end = Mutex::new(may_end);
    let worker = Worker::with_threads("test", 2, move |context: &WorkerContext<Vec<u32>>| {
        let next = |numbers: &mut Vec<u32>| numbers.pop().map_or(Next::Wait, Next::Run);
        while let Some(number) = context.wait_for(next) {
            let _ = sender.send(number);
            let _ = may_end.lock().recv();
        }
    });
    (worker, sent, end)
}

#[test]
fn two_threads_work_at_a_time_and_a_third_task_waits() {
    let (worker, sent, end) = pair();
    for number in 1..=3 {
        push(&worker, number);
    }
    let begun = [sent.recv_timeout(LONG), sent.recv_timeout(LONG)].map(Result::unwrap);
    assert_eq!(worker.shared.peek().context.locked.lock().threads, 2);
    assert_eq!(sent.try_recv(), Err(mpsc::TryRecvError::Empty));
    end.send(()).unwrap();
    assert!(!begun.contains(&sent.recv_timeout(LONG).unwrap()));
    end.send(()).unwrap();
    end.send(()).unwrap();
    assert!(worker.stop(LONG));
}

/// Otherwise a task would wait for another one while a thread could be started.
#[test]
fn a_second_task_does_not_wait_for_the_thread_that_was_woken_for_the_first() {
    for _ in 0..200 {
        let (worker, sent, end) = pair();
        push(&worker, 0);
        sent.recv_timeout(LONG).unwrap();
        end.send(()).unwrap();
        push(&worker, 1);
        push(&worker, 2);
        sent.recv_timeout(LONG).unwrap();
        sent.recv_timeout(LONG).unwrap();
        drop(end);
    }
}

#[test]
fn a_worker_that_is_stopped_waits_for_its_threads_and_takes_no_more_work() {
    let (worker, sent, end) = pair();
    push(&worker, 1);
    sent.recv_timeout(LONG).unwrap();
    assert!(!worker.stop(Duration::from_millis(1)), "the task runs");
    end.send(()).unwrap();
    assert!(worker.stop(LONG));
    assert!(worker.update(|_| true).is_err());
    assert_eq!(worker.shared.peek().context.locked.lock().threads, 0);
}
