//! Files: read and written on a thread of their own, so that no worker waits for a disk.

use std::{
    future::Future,
    io::{self, Read},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use kahea_module::{Cx, Decl, Fault, Ret, Str, Value, VarRef, ret::Given};
use parking_lot::Mutex;

use super::Corex;

/// As many files may be in work at once, over all workers.
const AT_ONCE: usize = 64;

static IN_WORK: AtomicUsize = AtomicUsize::new(0);

/// Declares the functions.
pub fn declare(d: &mut Decl<Corex>) {
    d.func(
        "file_read",
        ["path", "variable"],
        file_read,
        "Puts the content of a file into a variable; false where it cannot be read.",
    )
    .waits()
    .example("file_read(\"/etc/hostname\", \"$var(name)\");");
    d.func(
        "file_write",
        ["path", "content"],
        file_write,
        "Writes a file anew with this content; false where there is none or the file cannot be written.",
    )
    .kemi(2, "file_write")
    .waits();
    d.kemi_func(
        "corex",
        "file_read",
        ["path"],
        kemi_file_read,
        "Gives the content of a file; null where it cannot be read.",
    )
    .waits();
}

fn file_read(_: &Corex, cx: &mut Cx, path: Str, variable: VarRef) -> Ret {
    read(cx, path, move |cx, text| variable.set(cx, Value::Str(text)))
}

fn kemi_file_read(_: &Corex, cx: &mut Cx, path: Str) -> Ret {
    read(cx, path, |cx, text| {
        Given::set(cx, text);
        Ok(())
    })
}

fn read(cx: &mut Cx, path: Str, give: impl FnOnce(&mut Cx, Str) -> Result<(), Fault> + 'static) -> Ret {
    let limit = cx.budget.bytes;
    let name = path.clone();
    let work = match offload(move || read_at_most(&name, limit)) {
        Ok(work) => work,
        Err(fault) => return Ret::Fault(fault),
    };
    Ret::wait(move |cx| {
        Box::pin(async move {
            let content = match work.await {
                Ok(content) => content,
                Err(error) => return Fault::backend(format!("cannot read {path}: {error}")).into(),
            };
            let given = cx
                .spend_bytes(content.len())
                .and_then(|()| give(cx, Str::from(content)));
            given.map(|()| true).into()
        })
    })
}

/// The file's bytes; one more than `limit` where it is longer, so that the budget notices.
fn read_at_most(path: &Str, limit: u64) -> io::Result<Vec<u8>> {
    let file = std::fs::File::open(&*path.text())?;
    let mut content = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    Ok(content)
}

fn file_write(_: &Corex, _: &mut Cx, path: Str, content: Str) -> Ret {
    if content.is_empty() {
        return Fault::script(format!("there is no content to write to {path}")).into();
    }
    let name = path.clone();
    let work = match offload(move || std::fs::write(&*name.text(), &*content)) {
        Ok(work) => work,
        Err(fault) => return Ret::Fault(fault),
    };
    Ret::wait(move |_| {
        Box::pin(async move {
            match work.await {
                Ok(()) => Ret::TRUE,
                Err(error) => Fault::backend(format!("cannot write {path}: {error}")).into(),
            }
        })
    })
}

/// What a thread leaves for the task that waits for it.
struct Shared<T> {
    done: Option<T>,
    waiting: Option<Waker>,
}

/// The result of work on another thread.
struct Offloaded<T>(Arc<Mutex<Shared<io::Result<T>>>>);

impl<T> Future for Offloaded<T> {
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut shared = self.0.lock();
        match shared.done.take() {
            Some(result) => Poll::Ready(result),
            None => {
                shared.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Runs `work` on a thread of its own.
fn offload<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<Offloaded<T>, Fault> {
    if IN_WORK.fetch_add(1, Relaxed) >= AT_ONCE {
        IN_WORK.fetch_sub(1, Relaxed);
        return Err(Fault::limit(format!(
            "{AT_ONCE} files are being read or written already"
        )));
    }
    let shared = Arc::new(Mutex::new(Shared {
        done: None,
        waiting: None,
    }));
    let there = shared.clone();
    let thread = std::thread::Builder::new()
        .name("corex-file".to_owned())
        .spawn(move || {
            let result = work();
            IN_WORK.fetch_sub(1, Relaxed);
            let waiting = {
                let mut shared = there.lock();
                shared.done = Some(result);
                shared.waiting.take()
            };
            if let Some(waker) = waiting {
                waker.wake();
            }
        });
    if let Err(error) = thread {
        IN_WORK.fetch_sub(1, Relaxed);
        return Err(Fault::backend(format!(
            "cannot start a thread for a file: {error}"
        )));
    }
    Ok(Offloaded(shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    struct Unpark(std::thread::Thread);

    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Runs to the end what a function put off.
    fn finish(cx: &mut Cx, ret: Ret) -> Ret {
        let Ret::Wait(later) = ret else { return ret };
        let mut future = later(cx);
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(ret) => return ret,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut cx = Server::default().invite();
        let path = std::env::temp_dir().join(format!("kahea-corex-{}", std::process::id()));
        let path = Str::from(path.to_str().unwrap());
        let write = file_write(&Corex, &mut cx, path.clone(), Str::from("Data is: bob\n"));
        assert!(matches!(finish(&mut cx, write), Ret::Code(1)));
        let var = cx.bind().var("$var(d)").unwrap();
        let read = file_read(&Corex, &mut cx, path.clone(), var.clone());
        assert!(matches!(finish(&mut cx, read), Ret::Code(1)));
        assert_eq!(var.get(&mut cx), Value::from("Data is: bob\n"));
        cx.budget.bytes = 3;
        let read = file_read(&Corex, &mut cx, path.clone(), var.clone());
        assert!(matches!(finish(&mut cx, read), Ret::Fault(_)));
        std::fs::remove_file(&*path.text()).unwrap();
        let read = file_read(&Corex, &mut cx, path.clone(), var);
        assert!(matches!(finish(&mut cx, read), Ret::Fault(_)));
        let write = file_write(&Corex, &mut cx, path, Str::EMPTY);
        assert!(matches!(write, Ret::Fault(_)));
    }
}
