//! `skep gateway content`: an index of content servers and their peers, with the document's letters.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Subcommand;
use serde::Serialize;
use skep_gateway::{
    bridge,
    content::{
        ask::AskError,
        client::{self, Client, CommandError, Local},
        codec::Name,
        server::{self, Server},
    },
};

use super::{
    Ready, Shared,
    console::{Console, Next},
    done_listing,
    expose::{Expose, beside, reached},
    home, say_listening, shared_dir, start_failed, start_log, unknown,
};
use crate::{
    exit::Exit,
    failure::Failure,
    globals::Globals,
    output::{Output, printable},
    runtime,
};

const MENU: &str = "\
Choose what to do:
  R [NAME]  register content
  T [NAME]  deregister content
  L         list local content
  O         list the content of the index server
  D [NAME]  download content
  Q         quit";
const LETTERS: &str = "R NAME, T NAME, L, O, D NAME, Q";

/// The name under which an index provides what is exposed.
const PROVIDER: &str = "gateway";

/// How often the index is asked for another provider.
const MAX_PROVIDERS: usize = 5;

/// How long leaving may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// An index takes content servers in turn; whoever downloads becomes one
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    Index(IndexArgs),
    Peer(PeerArgs),
}

/// Run the index
#[derive(clap::Args)]
struct IndexArgs {
    /// Address and port to listen on
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    #[command(flatten)]
    expose: Expose,
    #[command(flatten)]
    shared: Shared,
}

/// Run a peer: it registers contents, serves them, and gets others
#[derive(clap::Args)]
struct PeerArgs {
    /// The peer's name, at most 9 characters
    #[arg(long)]
    name: String,
    /// Host and port of the index
    #[arg(long, value_name = "HOST:PORT")]
    server: String,
    /// Folder to share and to download into
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Ask for a download with the content's name in front
    #[arg(long)]
    content_first: bool,
    /// Send an `A` behind each content
    #[arg(long)]
    end_mark: bool,
    #[command(flatten)]
    expose: Expose,
    #[command(flatten)]
    shared: Shared,
    /// Commands, instead of those on standard input
    #[arg(last = true)]
    commands: Vec<String>,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    start_log(globals, out);
    match args.role {
        Role::Index(args) => runtime::block_on(index(args, globals, out)),
        Role::Peer(args) => runtime::block_on(peer(args, globals, out)),
    }
}

async fn index(args: IndexArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let stop = runtime::stop_on_signal()?;
    let config = server::Config {
        home: home(globals, "content-index")?,
        listen: args.listen,
        trust: args.shared.trust(),
    };
    let journal = args.shared.journal()?;
    let server = Server::start(runtime::world(), journal.clone(), config).await;
    let server = server.map_err(start_failed)?;
    let provider = client::Config {
        server: reached(server.local(), args.shared.advertise).to_string(),
        name: PROVIDER.to_owned(),
        dir: bridge::FOLDER.into(),
        content_first: false,
        end_mark: false,
    };
    let start = |world| Client::start(world, journal.clone(), provider);
    let bridge = args.expose.start(globals, &journal, start).await?;
    say_listening(out, "index", server.local());
    beside(bridge, out, stop.cancelled()).await;
    server.stop().await;
    Ok(Exit::Done)
}

async fn peer(args: PeerArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let stop = runtime::stop_on_signal()?;
    let console = Console::new(&args.commands, MENU)?;
    let config = client::Config {
        server: args.server,
        name: args.name,
        dir: shared_dir(args.dir.as_ref())?,
        content_first: args.content_first,
        end_mark: args.end_mark,
    };
    let journal = args.shared.journal()?;
    let provider = client::Config {
        dir: bridge::FOLDER.into(),
        ..config.clone()
    };
    let client = Client::start(runtime::world(), journal.clone(), config).await;
    let client = client.map_err(start_failed)?;
    let start = |world| Client::start(world, journal.clone(), provider);
    let bridge = args.expose.start(globals, &journal, start).await?;
    let at = client.address().into();
    let ready = Ready::peer(at, at, Some(client.name().to_string()));
    out.event(
        "ready",
        &ready,
        format!("The peer {} asks from {at}.", client.name()),
    );
    let mut person = Person {
        client,
        letter: None,
        failed: false,
        out,
    };
    let does = async |words: Vec<String>| person.told(&words).await;
    let exit = beside(bridge, out, console.run(out, &stop, does)).await;
    // Whoever ends the program leaves the network as `Q` does; an index that is gone keeps nobody here.
    let _ = tokio::time::timeout(LEAVE_WITHIN, person.client.quit()).await;
    match exit {
        Ok(Exit::Done) if person.failed => Ok(Exit::Failed),
        exit => exit,
    }
}

/// Who types letters, and then names.
struct Person<'a> {
    client: Client,
    /// It waits for a name.
    letter: Option<String>,
    /// The last command failed, and that was said.
    failed: bool,
    out: &'a Output,
}

impl Person<'_> {
    /// Does a command. As in the document's transcript, a person reads errors among the answers.
    async fn told(&mut self, words: &[String]) -> Result<Next, Failure> {
        let done = self.command(words).await;
        self.failed = done.is_err();
        match done {
            Err(failure) if !self.out.json => {
                self.out
                    .line(format_args!("Error: {}", printable(&failure.body.message)));
                self.out.note(&failure.body.hint);
                Ok(Next::Command)
            }
            done => done,
        }
    }

    async fn command(&mut self, words: &[String]) -> Result<Next, Failure> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Some(letter) = self.letter.take() {
            return self.named(&letter, &words.join(" ")).await;
        }
        match words[..] {
            ["L" | "l"] => self.list_local(),
            ["O" | "o"] => self.list_index().await?,
            ["Q" | "q"] => return self.quit().await,
            [letter @ ("R" | "r" | "T" | "t")] => {
                return Ok(self.ask_name(letter, "Enter a valid content name, 9 characters or less:"));
            }
            [letter @ ("D" | "d")] => {
                let question = "Enter the name of the content you would like to download:";
                return Ok(self.ask_name(letter, question));
            }
            [letter @ ("R" | "r" | "T" | "t" | "D" | "d"), ref name @ ..] => {
                return self.named(letter, &name.join(" ")).await;
            }
            _ => return Err(unknown(&words, LETTERS)),
        }
        Ok(Next::Command)
    }

    fn ask_name(&mut self, letter: &str, question: &str) -> Next {
        self.letter = Some(letter.to_ascii_uppercase());
        if !self.out.json {
            self.out.line(question);
        }
        Next::Answer
    }

    async fn named(&mut self, letter: &str, name: &str) -> Result<Next, Failure> {
        let name = client::name(name).map_err(failed)?;
        match letter.to_ascii_uppercase().as_str() {
            "R" => self.register(&name, "R").await?,
            "T" => self.deregister(&name).await?,
            _ => self.download(&name).await?,
        }
        Ok(Next::Command)
    }

    async fn register(&mut self, name: &Name, command: &str) -> Result<(), Failure> {
        let local = self.client.register(name).await.map_err(failed)?;
        let text = format!(
            "The following content has been successfully registered:\n    \
             Peer Name: {}\n    Content Name: {name}\n    Host: {}\n    Port: {}",
            self.client.name(),
            local.at.ip(),
            local.at.port()
        );
        if command == "R" {
            self.out.event("done", &Done::of("R", &local), text);
        } else if !self.out.json {
            self.out.line(text);
        }
        Ok(())
    }

    async fn deregister(&mut self, name: &Name) -> Result<(), Failure> {
        self.client.deregister(name).await.map_err(failed)?;
        let text = format!("The following content has been deregistered:\n    Content Name: {name}");
        let done = serde_json::json!({ "command": "T", "content": name.as_str() });
        self.out.event("done", &done, text);
        Ok(())
    }

    fn list_local(&self) {
        let out = self.out;
        if !out.json {
            out.line("List of names of the locally registered content:\nNumber Name Port Socket");
        }
        for (number, Local { name, at, socket }) in self.client.local().iter().enumerate() {
            let port = at.port();
            let row = serde_json::json!({
                "number": number, "name": name.as_str(), "port": port, "socket": socket
            });
            if out.json {
                out.line(row);
            } else {
                out.line(format_args!("{number} {name} {port} {socket}"));
            }
        }
        done_listing("L", out);
    }

    async fn list_index(&self) -> Result<(), Failure> {
        let names = self.client.list().await.map_err(failed)?;
        if !self.out.json {
            self.out.line("The Index Server contains the following:");
        }
        for (number, name) in names.iter().enumerate() {
            if self.out.json {
                self.out
                    .line(serde_json::json!({ "number": number, "name": name }));
            } else {
                self.out.line(format_args!("    {number}: {}", printable(name)));
            }
        }
        done_listing("O", self.out);
        Ok(())
    }

    /// Asks for providers until one delivers, then registers the content.
    async fn download(&mut self, name: &Name) -> Result<(), Failure> {
        let (mut tried, mut last) = (Vec::new(), None);
        while tried.len() < MAX_PROVIDERS {
            let at = match self.client.search(name).await {
                Ok(at) if !tried.contains(&at) => at,
                Ok(_) => break,
                Err(error) => return Err(failed(last.unwrap_or(error))),
            };
            if !self.out.json {
                self.out.line(format_args!(
                    "\nTrying to download content from the following address:\n    Host: {}\n    Port: {}\n",
                    at.ip(),
                    at.port()
                ));
            }
            match self.client.download(name, at).await {
                Ok(bytes) => return self.downloaded(name, at, bytes).await,
                Err(error @ CommandError::Local(..)) => return Err(failed(error)),
                Err(error) => {
                    self.out.note(format_args!("{error}"));
                    last = Some(error);
                    tried.push(at);
                }
            }
        }
        Err(last.map_or_else(|| failed(CommandError::Ask(AskError::Silent)), failed))
    }

    async fn downloaded(
        &mut self,
        name: &Name,
        at: std::net::SocketAddrV4,
        bytes: u64,
    ) -> Result<(), Failure> {
        if !self.out.json {
            self.out.line(format_args!(
                "Successfully downloaded content:\n    Content Name: {name}\n"
            ));
        }
        let registered = self.register(name, "D").await;
        if self.out.json {
            let port = self.client.local().iter().find(|local| local.name == *name);
            let port = port.map(|local| local.at.port());
            let done = serde_json::json!({
                "command": "D", "content": name.as_str(), "host": at.ip(), "port": at.port(),
                "bytes": bytes, "registered": port
            });
            self.out.event("done", &done, "");
        }
        registered
    }

    async fn quit(&mut self) -> Result<Next, Failure> {
        for local in self.client.local().to_vec() {
            self.client.deregister(&local.name).await.map_err(failed)?;
        }
        if self.out.json {
            self.out.event("done", &serde_json::json!({ "command": "Q" }), "");
        }
        Ok(Next::Quit)
    }
}

/// The `done` event of a registration.
#[derive(Serialize)]
struct Done<'a> {
    command: &'a str,
    content: &'a str,
    host: String,
    port: u16,
}

impl<'a> Done<'a> {
    fn of(command: &'a str, local: &'a Local) -> Self {
        Self {
            command,
            content: local.name.as_str(),
            host: local.at.ip().to_string(),
            port: local.at.port(),
        }
    }
}

fn failed(error: CommandError) -> Failure {
    let (kind, hint) = match &error {
        CommandError::Name(..) => ("name", "use at most 9 characters"),
        CommandError::NotLocal(_) => ("not_found", "the file must lie directly in --dir"),
        CommandError::Registered(_) | CommandError::Exists(_) => ("exists", "it can be served: see L"),
        CommandError::NotRegistered(_) => ("not_found", "see L for what is registered"),
        CommandError::Ask(AskError::Refused(_)) => ("refused", "see O for what the index lists"),
        CommandError::Ask(_) => ("no_answer", "see whether the index runs, and its address"),
        CommandError::Unreachable { .. } | CommandError::Broken { .. } | CommandError::Download(_) => {
            ("failed", "try again: the index may know another provider")
        }
        CommandError::Local(..) => ("disk", "check the folder and the room on its disk"),
    };
    Failure::new(kind, error, hint)
}
