//! What the program `lab-peer` does: both ends of flows that are watched one by one.
//!
//! Every answer names the backend that gave it and repeats the number that it was asked with, so that a flow that
//! was cut, moved or answered late is noticed on the flow itself.

mod control;
mod server;
mod tcp;
mod udp;

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;

/// Questions on their way at once: well below what a port's receive ring takes at one time.
const AT_ONCE: usize = 200;

/// What is known of one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The backend that answered first.
    pub first: String,
    /// The backend that answered last, or what went wrong.
    pub now: Result<String, String>,
}

/// Runs the program: `serve NAME ADDRESS READY_FILE` or `hold SOCKET ADDRESS`.
///
/// # Errors
/// Wrong usage, or what the system refused.
pub fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", name, address, ready] => {
            runtime.block_on(server::serve(name, address.parse::<SocketAddr>()?, Path::new(ready)))?;
        }
        ["hold", socket, address] => {
            runtime.block_on(control::hold(Path::new(socket), address.parse::<SocketAddr>()?))?;
        }
        _ => return Err("usage: lab-peer serve NAME ADDRESS READY_FILE | hold SOCKET ADDRESS".into()),
    }
    Ok(())
}

/// The answer to a question with a number: the name of the backend, if it is the answer to this question.
fn name_in(answer: &str, number: u64) -> Option<String> {
    let (name, repeated) = answer.trim_end().split_once(' ')?;
    (repeated.parse() == Ok(number)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::name_in;

    #[test]
    fn only_the_answer_to_this_question_counts() {
        assert_eq!(name_in("web-1 7\n", 7), Some("web-1".to_owned()));
        assert_eq!(name_in("web-1 6\n", 7), None);
        assert_eq!(name_in("web-1", 7), None);
    }
}
