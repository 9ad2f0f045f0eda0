//! Sign-in and sign-out.
//!
//! Passwords and e-mail addresses that no admin has are not logged, and are stored as hashes only. Actions of admins
//! are written to the audit ([`crate::audit`]).

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use levee::admins::{Session, SignInError};
use levee::web::{self, Answer, Site, TOKEN_FIELD, WebError, see_other};
use maud::html;
use tokio::time::Instant;

use crate::audit::record;
use crate::config::BoardState;
use crate::error;
use crate::site::{Call, SignedIn};

/// Shortest duration of a refused sign-in. Only the refusal of an existing admin is written to the audit, and the time
/// of an answer must not reveal it.
const REFUSAL_TAKES: Duration = Duration::from_millis(500);
const WRONG: &str = "The e-mail address or the password is wrong.";

/// Shows the sign-in form.
pub(crate) async fn page(call: &Call<'_>) -> Result<Answer, WebError> {
    Ok(form(call, StatusCode::OK, None))
}

/// Checks the password and begins a session.
pub(crate) async fn sign_in(call: &Call<'_>) -> Result<Answer, WebError> {
    let began = Instant::now();
    let (email, password) = (call.form.field("email"), call.form.field("password"));
    match call.state.admins.sign_in(email, password, call.now).await {
        Ok((token, session)) => {
            // A session must be in the audit, and must replace the browser's older session. If either fails, end the
            // new session.
            if let Err(failed) = replace(call, &session).await {
                call.state.admins.sign_out(&token).await.map_err(error::admins)?;
                return Err(failed);
            }
            // Set the session's cookie, and remove that of the form.
            let mut answer = see_other(&call.links.to("/admin"));
            BoardState::SESSION.set(answer.headers_mut(), token.reveal());
            BoardState::LOGIN.clear(answer.headers_mut());
            Ok(answer)
        }
        Err(SignInError::Wrong) => {
            tracing::warn!(code = "login.refused", request.id = call.request_id, "a sign-in was refused");
            if let Err(failed) = record_refusal(call, email).await {
                // The answer stays that of any other refusal: a different one would reveal that the admin exists.
                tracing::error!(
                    code = "admins.unreachable",
                    request.id = call.request_id,
                    error = %failed,
                    "the audit of a refused sign-in was not written"
                );
            }
            // Make all refusals take equally long.
            tokio::time::sleep_until(began + REFUSAL_TAKES).await;
            Ok(form(call, StatusCode::UNAUTHORIZED, Some(WRONG)))
        }
        Err(SignInError::Wait(secs)) => {
            tracing::warn!(
                code = "login.blocked",
                request.id = call.request_id,
                "a sign-in was not looked at: there were too many wrong ones for its address"
            );
            // Attempts are counted per e-mail address. Say how long this one has to wait.
            let sentence = format!("There were too many attempts for this address. Try again in {secs} seconds.");
            let mut answer = form(call, StatusCode::TOO_MANY_REQUESTS, Some(&sentence));
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
            Ok(answer)
        }
        Err(SignInError::Unavailable(error)) => Err(error::admins(error)),
    }
}

/// Records the start of `session` in the audit, and ends the session that the browser had before.
async fn replace(call: &Call<'_>, session: &Session) -> Result<(), WebError> {
    record(call, &session.email, "session.sign-in", &session.email, "").await?;
    match call.session_token() {
        Some(before) => call.state.admins.sign_out(&before).await.map_err(error::admins),
        None => Ok(()),
    }
}

/// Records a refused sign-in in the audit, if an admin has this address.
async fn record_refusal(call: &Call<'_>, email: &str) -> Result<(), WebError> {
    match call.state.admins.admin(email).await.map_err(error::admins)? {
        Some(admin) => record(call, &admin.email, "session.refused", &admin.email, "a wrong password").await,
        None => Ok(()),
    }
}

/// Ends the admin's session.
pub(crate) async fn sign_out(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    let email = &admin.user.email;
    // Try to write the audit first, but end the session in any case.
    let written = record(call, email, "session.sign-out", email, "").await;
    call.state.admins.sign_out(&admin.token).await.map_err(error::admins)?;
    signed_out(call, written)
}

/// Ends all sessions of the admin.
pub(crate) async fn sign_out_everywhere(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    let email = &admin.user.email;
    // As for one session: the audit first, the end in any case.
    let written = record(call, email, "session.sign-out-everywhere", email, "").await;
    call.state.admins.sign_out_everywhere(email, call.now).await.map_err(error::admins)?;
    signed_out(call, written)
}

/// Answers once a session has ended. Signing out is the only change that is made even if it could not be `written` to
/// the audit, so that an admin can always sign out.
fn signed_out(call: &Call<'_>, written: Result<(), WebError>) -> Result<Answer, WebError> {
    written.map_err(|failed| WebError::SignOutUnwritten(error::ADMINS, failed.to_string()))?;
    let mut answer = see_other(&call.links.to("/login"));
    BoardState::SESSION.clear(answer.headers_mut());
    Ok(answer)
}

fn form(call: &Call<'_>, status: StatusCode, mistake: Option<&str>) -> Answer {
    let token = call.login_token();
    let content = html! {
        @if let Some(mistake) = mistake { div.notice.bad role="alert" { p { (mistake) } } }
        form.sheet method="post" action=(call.links.to("/login")) {
            input type="hidden" name=(TOKEN_FIELD) value=(token);
            label { "E-mail address" input type="email" name="email" autocomplete="username" required; }
            label { "Password" input type="password" name="password" autocomplete="current-password" required; }
            button { "Sign in" }
        }
    };
    let mut answer = web::outside(call.links, status, "Sign in", content);
    BoardState::LOGIN.set(answer.headers_mut(), &token);
    answer
}
