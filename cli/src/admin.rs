//! `levee admin`: the admins that may sign in to the board.

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use levee::admins::{Admin, Role, email};
use serde_json::{Value, json};

use crate::consent::Consent;
use crate::context::Context;
use crate::output::{Changes, aside, fields};
use crate::password::{Password, PasswordArgs};
use crate::views::AdminView;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List all admins
    #[command(after_help = "Examples:\n  levee admin list")]
    List,
    /// Show an admin
    #[command(after_help = "Examples:\n  levee admin show ada@example.com")]
    Show {
        /// The admin's e-mail address
        #[arg(value_parser = address)]
        email: String,
    },
    /// Create an admin; the password is asked for
    #[command(after_help = "\
Examples:
  levee admin create ada@example.com --role operator
  levee admin create ada@example.com --role viewer --generate-password
  pass show levee/ada | levee admin create ada@example.com --role viewer --password-stdin")]
    Create {
        /// The admin's e-mail address
        #[arg(value_parser = address)]
        email: String,
        /// What the admin may do
        #[arg(long, value_enum)]
        role: RoleArg,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Change an admin; a new password ends all their sessions
    #[command(after_help = "\
Examples:
  levee admin set ada@example.com --role viewer
  levee admin set ada@example.com --password")]
    Set {
        /// The admin's e-mail address
        #[arg(value_parser = address)]
        email: String,
        #[command(flatten)]
        changed: Changed,
    },
    /// Delete an admin; their sessions end at once
    #[command(after_help = "Examples:\n  levee admin delete ada@example.com")]
    Delete {
        /// The admin's e-mail address
        #[arg(value_parser = address)]
        email: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// End all sessions of an admin
    #[command(after_help = "Examples:\n  levee admin sign-out ada@example.com")]
    SignOut {
        /// The admin's e-mail address
        #[arg(value_parser = address)]
        email: String,
    },
    /// Let an admin sign in at once who has to wait because of wrong passwords, their own or somebody else's
    #[command(after_help = "Examples:\n  levee admin unblock ada@example.com")]
    Unblock {
        /// The admin's e-mail address
        #[arg(value_parser = address)]
        email: String,
    },
}

/// What is to change about an admin.
#[derive(Debug, clap::Args)]
pub(crate) struct Changed {
    /// What the admin may do
    #[arg(long, value_enum, required_unless_present_any = ["password", "password_stdin", "generate_password"])]
    role: Option<RoleArg>,
    /// Ask for a new password
    #[arg(long, conflicts_with_all = ["password_stdin", "generate_password"])]
    password: bool,
    #[command(flatten)]
    source: PasswordArgs,
}

/// What an admin may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    /// Look at everything
    Viewer,
    /// Change things too
    Operator,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
        }
    }
}

fn address(text: &str) -> Result<String, String> {
    email::normalise(text).map_err(|error| error.to_string())
}

impl Command {
    pub(crate) async fn run(&self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let views: Vec<_> = context.target.admins.list().await?.iter().map(AdminView::new).collect();
                context.output.list(&views, AdminView::HEADERS, "there are no admins", AdminView::row)
            }
            Self::Show { email } => {
                let view = AdminView::new(&admin(context, email).await?);
                context.output.say(&view, || fields(&view.fields()))
            }
            Self::Create { email, role, password } => create(context, email, (*role).into(), password).await,
            Self::Set { email, changed } => set(context, email, changed).await,
            Self::Delete { email, consent } => delete(context, email, consent).await,
            Self::SignOut { email } => sign_out(context, email).await,
            Self::Unblock { email } => unblock(context, email).await,
        }
    }
}

async fn admin(context: &Context, email: &str) -> anyhow::Result<Admin> {
    let found = context.target.admins.admin(email).await?;
    found.with_context(|| format!("there is no admin {email}; list them with: levee admin list"))
}

async fn create(context: &Context, email: &str, role: Role, source: &PasswordArgs) -> anyhow::Result<()> {
    if context.target.admins.admin(email).await?.is_some() {
        bail!("there is an admin {email} already; change them with: levee admin set {email}");
    }
    // Read the password only if the address is free.
    let Password { hash, generated } = source.read()?;
    let created_at = context.now().as_secs();
    let admin = Admin { email: email.to_owned(), role, password: hash, created_at, sessions_from: 0 };
    // The write is conditional, because the address may have been taken since.
    let creating = async {
        if context.target.admins.create(&admin).await? {
            return Ok(());
        }
        bail!("another operator created admin {email} at this moment")
    };
    context.change("admin.create", email, format!("role '{role}'"), creating).await?;
    let view = serde_json::to_value(AdminView::new(&admin))?;
    tell(context, view, generated, || format!("admin {email} is created as {role}"))
}

async fn set(context: &Context, email: &str, changed: &Changed) -> anyhow::Result<()> {
    let admin = admin(context, email).await?;
    // Read the password first, so that a mistake in it is found before anything is changed.
    let asked_for = changed.password || changed.source.given();
    let password = if asked_for { Some(changed.source.read()?) } else { None };
    let gone = || format!("another operator deleted admin {email} at this moment");
    let mut changes = Changes::default();
    // Change the role if another one is given.
    if let Some(role) = changed.role.map(Role::from).filter(|role| *role != admin.role) {
        changes = changes.add("role", admin.role, role);
        let setting = async { context.target.admins.set_role(email, role).await?.then_some(()).with_context(gone) };
        context.change("admin.set", email, changes.sentence(), setting).await?;
    }
    // Without a new password the work is done.
    let Some(Password { hash, generated }) = password else {
        return changes.tell(&context.output, "admin", email, None);
    };
    // Replace the password, which ends all sessions.
    let setting = async {
        let admins = &context.target.admins;
        admins.set_password(email, &hash, context.now()).await?.then_some(()).with_context(gone)?;
        // Forget wrong attempts, so that the admin can use the new password at once.
        Ok(admins.clear_attempts(email).await?)
    };
    context.change("admin.set", email, "password replaced, all sessions ended".to_owned(), setting).await?;
    if generated.is_none() {
        return changes.replaced("password").tell(&context.output, "admin", email, None);
    }
    // Print a generated password, with the admin as stored.
    let view = serde_json::to_value(AdminView::new(&self::admin(context, email).await?))?;
    tell(context, view, generated, String::new)
}

async fn delete(context: &Context, email: &str, consent: &Consent) -> anyhow::Result<()> {
    let admin = admin(context, email).await?;
    consent.ask(&format!("Delete admin {email} ({})?", admin.role))?;
    let deleting = async {
        if context.target.admins.delete(email).await? {
            return Ok(());
        }
        bail!("another operator deleted admin {email} at this moment")
    };
    context.change("admin.delete", email, format!("role '{}'", admin.role), deleting).await?;
    context.output.say(&json!({ "email": email, "deleted": true }), || format!("admin {email} is deleted"))
}

async fn sign_out(context: &Context, email: &str) -> anyhow::Result<()> {
    admin(context, email).await?;
    let signing_out = async {
        if context.target.admins.sign_out_everywhere(email, context.now()).await? {
            return Ok(());
        }
        bail!("another operator deleted admin {email} at this moment")
    };
    context.change("admin.sign-out", email, "all sessions end".to_owned(), signing_out).await?;
    let text = || format!("admin {email} is signed out everywhere");
    context.output.say(&json!({ "email": email, "signed_out": true }), text)
}

async fn unblock(context: &Context, email: &str) -> anyhow::Result<()> {
    admin(context, email).await?;
    let unblocking = async { Ok(context.target.admins.clear_attempts(email).await?) };
    context.change("admin.unblock", email, "wrong passwords forgotten".to_owned(), unblocking).await?;
    let text = || format!("admin {email} may sign in at once");
    context.output.say(&json!({ "email": email, "unblocked": true }), text)
}

/// Prints a generated password by itself, or `text` if none was generated.
fn tell(
    context: &Context,
    mut view: Value,
    generated: Option<String>,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    let Some(password) = generated else { return context.output.say(&view, text) };
    view["password"] = password.clone().into();
    context.output.say(&view, || password)?;
    aside("This is the password. It is not shown again: keep it now.");
    Ok(())
}
