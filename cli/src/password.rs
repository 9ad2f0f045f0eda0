//! Sources of an admin's password.

use std::io::BufRead;

use anyhow::Context;
use levee::admins::PasswordHash;
use rand::RngExt;
use rand::distr::Alphanumeric;

use crate::error::usage;

/// Length of a generated password, in letters and digits.
const GENERATED_LENGTH: usize = 24;

/// Where a password comes from; asked for, unless another way is chosen.
#[derive(Debug, clap::Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from the first line of standard input
    #[arg(long, conflicts_with = "generate_password")]
    password_stdin: bool,
    /// Make a password and print it, once
    #[arg(long)]
    generate_password: bool,
}

/// Hash of a password that was given or generated.
pub(crate) struct Password {
    pub(crate) hash: PasswordHash,
    /// Text of a generated password, to be printed once; `None` if the password was given.
    pub(crate) generated: Option<String>,
}

impl PasswordArgs {
    /// Returns true if a source was chosen.
    pub(crate) fn given(&self) -> bool {
        self.password_stdin || self.generate_password
    }

    /// Reads the password from the chosen source. Without one, asks for it twice without showing it.
    pub(crate) fn read(&self) -> anyhow::Result<Password> {
        if self.generate_password {
            let password: String =
                rand::rng().sample_iter(Alphanumeric).take(GENERATED_LENGTH).map(char::from).collect();
            return Ok(Password { hash: hash(&password)?, generated: Some(password) });
        }
        let password = if self.password_stdin { first_line()? } else { ask()? };
        Ok(Password { hash: hash(&password)?, generated: None })
    }
}

fn hash(password: &str) -> anyhow::Result<PasswordHash> {
    PasswordHash::new(password).map_err(|weak| usage(weak.to_string()))
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("standard input cannot be read")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask() -> anyhow::Result<String> {
    let prompt = |text: &str| {
        rpassword::prompt_password(text).map_err(|_| {
            usage("there is no terminal to ask for the password: say --password-stdin or --generate-password")
        })
    };
    let password = prompt("Password (12 to 256 characters): ")?;
    if prompt("Once more: ")? != password {
        return Err(usage("the passwords differ; nothing was changed"));
    }
    Ok(password)
}
