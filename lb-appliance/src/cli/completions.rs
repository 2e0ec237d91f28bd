//! `guideway completions SHELL`: what the shell completes, made from the definition that is parsed.
//!
//! Exit codes: 0 printed, 1 standard output is gone.

use std::io::{self, Write};
use std::process::ExitCode;

use clap_complete::Shell;

/// Arguments of `guideway completions`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  guideway completions bash > /usr/share/bash-completion/completions/guideway
  guideway completions zsh  > /usr/share/zsh/vendor-completions/_guideway
  guideway completions fish > /usr/share/fish/vendor_completions.d/guideway.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Target,
}

/// Shells that are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

/// Prints on standard output.
pub fn run(arguments: &CompletionsArgs) -> ExitCode {
    super::written(io::stdout().lock().write_all(&script(arguments.shell)), "standard output")
}

fn script(target: Target) -> Vec<u8> {
    let shell = match target {
        Target::Bash => Shell::Bash,
        Target::Zsh => Shell::Zsh,
        Target::Fish => Shell::Fish,
    };
    // Into memory first: clap_complete panics when a write fails, and a closed pipe is no reason to.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::root::definition(), "guideway", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_is_completed_in_every_shell() {
        for target in [Target::Bash, Target::Zsh, Target::Fish] {
            let script = String::from_utf8(script(target)).unwrap();
            for command in crate::cli::root::definition().get_subcommands() {
                assert!(script.contains(command.get_name()), "{target:?}: {}", command.get_name());
            }
            assert!(script.contains("--strict") || script.contains("-l strict"), "{target:?}");
        }
    }

    #[test]
    fn bash_accepts_its_script() {
        use std::process::{Command, Stdio};
        let mut child = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&script(Target::Bash)).unwrap();
        assert!(child.wait().unwrap().success());
    }
}
