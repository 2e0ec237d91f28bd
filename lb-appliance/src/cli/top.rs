//! `guideway top`: a running balancer on a terminal, with keys to drain and weigh backends.
//!
//! One thread asks the balancer, one draws: a balancer that does not answer does not freeze the screen. The terminal
//! is restored however it ends: by key, signal, error or panic.

mod draw;
mod model;
mod sampler;

#[cfg(test)]
mod tests;

use super::EXIT_FAILED;
use super::live::{LiveArgs, LiveError};
use super::output::Style;
use model::App;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use sampler::Sampler;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time between two looks at keys, samples and signals.
const TICK: Duration = Duration::from_millis(100);

/// Arguments of `guideway top`.
#[derive(Debug, clap::Args)]
pub struct TopArgs {
    /// Time between two samples, such as 500ms
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = crate::config::duration(text)?;
    let allowed = Duration::from_millis(100)..=Duration::from_secs(3600);
    if allowed.contains(&interval) { Ok(interval) } else { Err("allowed are 100ms to 1h".into()) }
}

/// Runs until `q`.
pub fn top(args: &TopArgs) -> ExitCode {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        eprintln!("guideway: top needs a terminal; for scripts there is `guideway status -o json`");
        return ExitCode::from(super::EXIT_USAGE);
    }
    // An unreachable balancer is said in plain text, not on a screen that vanishes.
    let code = super::live::run(&args.live, |live| {
        let _: crate::admin::VersionInfo = live.client.get(&crate::client::Target::new(&["version"]))?;
        Ok(0)
    });
    if code != ExitCode::SUCCESS {
        return code;
    }
    match on_screen(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guideway: {error}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn on_screen(args: &TopArgs) -> Result<(), LiveError> {
    let ending = Arc::new(AtomicBool::new(false));
    watch_signals(Arc::clone(&ending))?;
    let sampler = Sampler::start(&args.live.socket, args.interval);
    let mut terminal = ratatui::try_init()?;
    let result = turn(&mut terminal, &sampler, &ending);
    ratatui::restore();
    result
}

fn turn(terminal: &mut DefaultTerminal, sampler: &Sampler, ending: &AtomicBool) -> Result<(), LiveError> {
    let mut app = App::new(Style::of(true).has_colour);
    while !app.is_over && !ending.load(Ordering::Relaxed) {
        while let Some(news) = sampler.next() {
            app.take(news);
        }
        terminal.draw(|frame| draw::draw(frame, &mut app))?;
        if !event::poll(TICK)? {
            continue;
        }
        if let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && let Some(order) = app.on_key(key)
        {
            sampler.send(order);
        }
    }
    Ok(())
}

/// Notes signals that end the process, so that it ends by itself and leaves the terminal as it was.
fn watch_signals(ending: Arc<AtomicBool>) -> Result<(), LiveError> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _context = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?)
    };
    // It ends with the process.
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = signals.0.recv() => {}
                _ = signals.1.recv() => {}
                _ = signals.2.recv() => {}
            }
        });
        ending.store(true, Ordering::Relaxed);
    });
    Ok(())
}
