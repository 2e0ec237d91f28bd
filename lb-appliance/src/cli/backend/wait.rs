//! Waiting for the last flow of a draining backend.

use super::BackendName;
use crate::cli::EXIT_FAILED;
use crate::cli::live::{Live, LiveError, Outcome};
use crate::cli::output::units::duration;
use crate::client::Next;
use crate::control::view::BackendStatus;
use std::time::{Duration, Instant};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Waits until a backend has no flows; says how many are left whenever that changes.
pub(super) fn drained(live: &mut Live<'_>, name: &BackendName, timeout: Option<Duration>) -> Outcome {
    let begin = Instant::now();
    let object = format!("backend {name}");
    let mut last = None;
    loop {
        let backend: BackendStatus = live.client.get(&name.target())?;
        if backend.drained {
            let took = duration(begin.elapsed().as_secs_f64());
            live.say(&format!("{name} is drained after {took}"))?;
            return Ok(0);
        }
        if backend.state != "drain" && backend.state != "disabled" && backend.state != "maintenance" {
            let text = format!("{name} is `{}` now: somebody has ended the drain", backend.state);
            return Err(LiveError::Failed(text));
        }
        if last != Some(backend.active_connections) {
            last = Some(backend.active_connections);
            live.say(&format!("{name}: {} flows left", backend.active_connections))?;
        }
        if timeout.is_some_and(|timeout| begin.elapsed() >= timeout) {
            live.say(&format!("{name} still has {} flows; it goes on draining", backend.active_connections))?;
            return Ok(EXIT_FAILED);
        }
        sleep_or_event(live, &object)?;
    }
}

/// Returns after a while, or as soon as something happens to the object.
fn sleep_or_event(live: &Live<'_>, object: &str) -> Result<(), LiveError> {
    let begin = Instant::now();
    // Without a free place among the followers a look every second does as well.
    let Ok(mut follower) = live.client.follow(None) else {
        std::thread::sleep(LOOK);
        return Ok(());
    };
    while let Some(left) = LOOK.checked_sub(begin.elapsed()) {
        match follower.next(left)? {
            Next::Event(event) if event.object == object => return Ok(()),
            Next::Event(_) | Next::Quiet => {}
            // The next look says why.
            Next::End => std::thread::sleep(left),
        }
    }
    Ok(())
}
