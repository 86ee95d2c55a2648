//! The control socket: JSON-RPC 2.0, one message a line, for the run user of this machine alone.

mod value;

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use kahea_module::{
    Worker,
    rpc::{self, RpcFault, RpcResult, RpcValue, RpcVia},
};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, oneshot},
    time::timeout,
};

use crate::server::Server;
pub use value::{from_json, to_json};

/// The longest request.
const LONGEST: usize = 1 << 20;
/// Clients at a time; more wait.
const CLIENTS: usize = 32;
/// How long a client may say nothing, or take nothing of its answer.
const IDLE: Duration = Duration::from_secs(60);
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command of the process itself answers: a result, or a code, a sentence and details.
pub type Answer = Result<Json, (i64, String, Json)>;

/// Commands that are not for a worker: they may block, and run on a thread of their own.
pub trait Process: Send + Sync + 'static {
    /// `core.reload`: reads the configuration again.
    fn reload(&self) -> Answer;
}

/// The process, for commands that come by other ways than the control socket.
#[derive(Default)]
pub struct ProcessSlot(OnceLock<Weak<dyn Process>>);

impl ProcessSlot {
    /// Sets it, once.
    pub fn set(&self, process: &Arc<dyn Process>) {
        let _ = self.0.set(Arc::downgrade(process));
    }

    /// It, where the server is one that can be told to reload.
    pub fn get(&self) -> Option<Arc<dyn Process>> {
        self.0.get()?.upgrade()
    }
}

/// Reloads on a thread of its own, because that blocks.
pub async fn reload(process: Arc<dyn Process>) -> Answer {
    let reload = tokio::task::spawn_blocking(move || process.reload());
    reload
        .await
        .unwrap_or_else(|error| Err((500, format!("the reload failed: {error}"), Json::Null)))
}

/// The open socket.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Opens the socket; needs a runtime.
    ///
    /// # Errors
    /// The directory is not there or not writable, or another server answers at the path.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Control> {
        let path = path.into();
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            let text = "another server answers there: give each one its own directory with -Y";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        // A socket that nobody answers at was left by a server that was killed.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Control { listener, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves clients for ever. Each is a task of its own, so a hanging one holds nothing up.
    pub async fn serve(self, server: Arc<Server>, process: Arc<dyn Process>) {
        let places = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((client, _)) => {
                    let (server, process) = (server.clone(), process.clone());
                    tokio::spawn(async move {
                        // A client that is gone needs no answer.
                        let _ = talk(client, &server, &process).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    kahea_module::error!("<core>", "The control socket takes no client: {error}.");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Gone already, or out of reach in another root directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn talk(mut client: UnixStream, server: &Arc<Server>, process: &Arc<dyn Process>) -> io::Result<()> {
    let (reader, mut writer) = client.split();
    let mut reader = BufReader::new(reader);
    while let Some(line) = timeout(IDLE, read_line(&mut reader))
        .await
        .map_err(|_| io::ErrorKind::TimedOut)??
    {
        let Some(answer) = answer(&line, server, process).await else {
            continue;
        };
        let mut text = answer.to_string();
        text.push('\n');
        timeout(IDLE, writer.write_all(text.as_bytes()))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
    }
    Ok(())
}

/// A line of at most [`LONGEST`] bytes; `None` at the end.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let piece = reader.fill_buf().await?;
        if piece.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(piece.len());
        line.extend_from_slice(piece.get(..taken).unwrap_or_default());
        let used = taken.saturating_add(usize::from(end.is_some()));
        reader.consume(used);
        if line.len() > LONGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the request is too long",
            ));
        }
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

/// The answer to one request; `None` for an empty line and for a notification (a request without `id`).
async fn answer(line: &[u8], server: &Arc<Server>, process: &Arc<dyn Process>) -> Option<Json> {
    if line.trim_ascii().is_empty() {
        return None;
    }
    let request: Json = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => {
            return Some(failure(
                Json::Null,
                -32700,
                &format!("no JSON: {error}"),
                Json::Null,
            ));
        }
    };
    let id = request.get("id").cloned();
    let Some(method) = request.get("method").and_then(Json::as_str) else {
        let text = "no method: a request is {\"jsonrpc\":\"2.0\",\"method\":\"…\",\"params\":[…],\"id\":1}";
        return Some(failure(id.unwrap_or_default(), -32600, text, Json::Null));
    };
    let result = run(method, arguments(request.get("params")), server, process).await;
    let id = id?;
    Some(match result {
        Ok(result) => json!({"jsonrpc": "2.0", "result": result, "id": id}),
        Err((code, text, data)) => failure(id, code, &text, data),
    })
}

fn failure(id: Json, code: i64, text: &str, data: Json) -> Json {
    let mut error = json!({"code": code, "message": text});
    if let Some(members) = error.as_object_mut().filter(|_| !data.is_null()) {
        members.insert("data".into(), data);
    }
    json!({"jsonrpc": "2.0", "error": error, "id": id})
}

/// Named parameters count in the order in which they stand.
fn arguments(params: Option<&Json>) -> Vec<RpcValue> {
    match params {
        Some(Json::Array(items)) => items.iter().map(from_json).collect(),
        Some(Json::Object(members)) => members.values().map(from_json).collect(),
        Some(Json::Null) | None => Vec::new(),
        Some(single) => vec![from_json(single)],
    }
}

async fn run(method: &str, args: Vec<RpcValue>, server: &Arc<Server>, process: &Arc<dyn Process>) -> Answer {
    match method {
        // Not through a worker as from elsewhere: a stuck one must not keep a better configuration out.
        "core.reload" => reload(process.clone()).await,
        _ => command(method, args, server).await,
    }
}

fn unknown(method: &str) -> RpcFault {
    RpcFault::new(
        -32601,
        format!("no loaded module has a command {method}; system.listMethods lists them"),
    )
}

/// Runs a command of a module on the first worker.
async fn command(method: &str, args: Vec<RpcValue>, server: &Arc<Server>) -> Answer {
    let method = method.to_owned();
    let (sender, receiver) = oneshot::channel();
    let job: crate::Job = Box::new(move |worker| {
        Box::pin(async move {
            // The client may have gone.
            let _ = sender.send(dispatch(&method, args, worker).await);
        })
    });
    outcome(server, job, receiver).await
}

async fn outcome(server: &Arc<Server>, job: crate::Job, receiver: oneshot::Receiver<RpcResult>) -> Answer {
    if !server.on_worker(0, job) {
        return Err((503, "the server is stopping".into(), Json::Null));
    }
    match timeout(PATIENCE, receiver).await {
        Ok(Ok(Ok(values))) => Ok(result(values)),
        Ok(Ok(Err(fault))) => Err((fault.code, fault.text.text().into_owned(), Json::Null)),
        Ok(Err(_)) => Err((500, "the command ended without an answer".into(), Json::Null)),
        Err(_) => Err((
            504,
            format!("no answer within {} seconds", PATIENCE.as_secs()),
            Json::Null,
        )),
    }
}

/// One value as it is, several as an array, none as null.
fn result(values: Vec<RpcValue>) -> Json {
    match <[RpcValue; 1]>::try_from(values) {
        Ok([one]) => to_json(&one),
        Err(values) if values.is_empty() => Json::Null,
        Err(values) => Json::Array(values.iter().map(to_json).collect()),
    }
}

async fn dispatch(method: &str, args: Vec<RpcValue>, worker: Rc<Worker>) -> RpcResult {
    match rpc::run(worker, method, args, RpcVia::Control).await {
        Some(answer) => answer.result,
        None => Err(unknown(method)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_end_with_the_line_end_or_the_stream() {
        let mut reader = BufReader::with_capacity(4, &b"first line\nlast"[..]);
        assert_eq!(read_line(&mut reader).await.unwrap().unwrap(), b"first line");
        assert_eq!(read_line(&mut reader).await.unwrap().unwrap(), b"last");
        assert_eq!(read_line(&mut reader).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let endless = vec![b'x'; LONGEST + 2];
        let mut reader = BufReader::new(&endless[..]);
        assert!(read_line(&mut reader).await.is_err());
    }

    #[test]
    fn parameters_come_as_list_or_by_name() {
        let read = |text: &str| arguments(Some(&serde_json::from_str(text).unwrap()));
        assert_eq!(read("[1, \"a\"]"), [RpcValue::Int(1), RpcValue::from("a")]);
        assert_eq!(read("{\"x\": 2}"), [RpcValue::Int(2)]);
        assert_eq!(read("null"), []);
        assert_eq!(arguments(None), []);
    }

    #[test]
    fn several_values_are_a_list() {
        assert_eq!(result(vec![1.into()]), json!(1));
        assert_eq!(result(vec![1.into(), 2.into()]), json!([1, 2]));
        assert_eq!(result(Vec::new()), Json::Null);
    }
}
