//! `guideway events`: what happened, and what happens.

use super::live::{Live, LiveArgs, LiveError, Outcome, run};
use super::output::{Form, units};
use crate::client::{Next, Target};
use crate::control::view::Event;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longer than the signs of life of the server are apart.
const WAIT: Duration = Duration::from_secs(60);

/// Arguments of `guideway events`.
#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    /// Stay and show what happens, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Only events of this time, such as 1h
    #[arg(long, value_name = "DURATION", value_parser = crate::config::duration)]
    pub since: Option<Duration>,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Shows events.
pub fn events(args: &EventsArgs) -> ExitCode {
    run(&args.live, |live| show(live, args.follow, args.since))
}

fn show(live: &mut Live<'_>, follow: bool, since: Option<Duration>) -> Outcome {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let earliest = since.map_or(f64::MIN, |since| now - since.as_secs_f64());
    let all: Vec<Event> = live.client.get(&Target::new(&["events"]))?;
    let next = all.last().map_or(0, |event| event.sequence + 1);
    let wanted: Vec<Event> = all.into_iter().filter(|event| event.at_seconds >= earliest).collect();
    if !follow {
        live.show("EventList", &wanted, |live| {
            if wanted.is_empty() {
                "no events\n".into()
            } else {
                wanted.iter().map(|event| line(event, live)).collect()
            }
        })?;
        return Ok(0);
    }
    for event in &wanted {
        write(live, event)?;
    }
    let mut follower = live.client.follow(Some(next))?;
    // The follower borrows the client: what it gets is written to the streams next to it.
    let (form, style) = (live.form, live.style);
    loop {
        match follower.next(WAIT)? {
            Next::Event(event) => {
                let text = text(&event, form, |text| match event.severity.as_str() {
                    "error" => style.bad(text),
                    "warning" => style.warning(text),
                    _ => text.to_owned(),
                })?;
                live.out.write_all(text.as_bytes())?;
                live.out.flush()?;
            }
            Next::Quiet => {}
            Next::End => return Err(LiveError::Failed("the balancer has ended".into())),
        }
    }
}

fn write(live: &mut Live<'_>, event: &Event) -> Result<(), LiveError> {
    let text = text(event, live.form, |text| paint(event, text, live))?;
    live.out.write_all(text.as_bytes())?;
    live.out.flush()?;
    Ok(())
}

/// One event in a stream: a line for people, a line of JSON or a YAML document for programs.
fn text(event: &Event, form: Form, paint: impl Fn(&str) -> String) -> Result<String, LiveError> {
    let failed = |error: String| LiveError::Failed(format!("cannot write the answer: {error}"));
    match form {
        Form::Table | Form::Wide => Ok(plain(event, paint)),
        Form::Json => {
            serde_json::to_string(event).map(|text| text + "\n").map_err(|error| failed(error.to_string()))
        }
        Form::Yaml => {
            let text = serde_yaml::to_string(event).map_err(|error| failed(error.to_string()))?;
            Ok(format!("---\n{text}"))
        }
    }
}

fn line(event: &Event, live: &Live<'_>) -> String {
    plain(event, |text| paint(event, text, live))
}

fn paint(event: &Event, text: &str, live: &Live<'_>) -> String {
    match event.severity.as_str() {
        "error" => live.style.bad(text),
        "warning" => live.style.warning(text),
        _ => text.to_owned(),
    }
}

fn plain(event: &Event, paint: impl Fn(&str) -> String) -> String {
    let time = units::instant(event.at_seconds);
    // The message names what it needs to; the object is for those that filter.
    format!("{time}  {}  {}: {}\n", paint(&format!("{:<20}", event.kind)), event.object, event.message)
}
