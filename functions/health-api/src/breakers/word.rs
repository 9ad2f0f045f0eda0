//! Overrides of a breaker by an admin: force, pin and release.

use std::time::Duration;

use levee::accounts::form::reason as checked;
use levee::breaker::manual_override::{IN_FORCE_WITHIN, LONGEST, share};
use levee::breaker::{ManualOverride, OverrideError, Peek, Share, apply};
use levee::web::{Answer, Form, WebError};

use super::report::BreakerReport;
use super::{known, page};
use crate::audit::record;
use crate::error;
use crate::site::{Call, SignedIn};

/// Gives a provider no calls or all calls for a time. The field `to` is `open` or `closed`.
pub(crate) async fn force(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    let share = match call.form.field("to") {
        "open" => Share::NONE,
        "closed" => Share::ALL,
        _ => return Err(WebError::Invalid("'to' takes open or closed.".to_owned())),
    };
    hold(call, admin, "breaker.force", share).await
}

/// Gives a provider a part of the calls for a time. The field `share` is a percentage.
pub(crate) async fn pin(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    let share = share(call.form.field("share").trim());
    let share = share.map_err(|_| {
        WebError::Invalid("'share' takes a percentage from 0.01 to 99.99 with at most two decimals.".to_owned())
    })?;
    hold(call, admin, "breaker.pin", share).await
}

/// Ends an override, so that the provider's breaker decides again.
pub(crate) async fn release(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    known(call)?;
    let state = call.state.breakers.read(call.id).await.map_err(error::breakers)?;
    // Only an override can be released.
    let Some(forced) = state.forced else { return Err(not_held()) };
    let detail = format!("held at {} until {} by {}", forced.share, forced.until.to_rfc3339(), forced.by);
    make(call, admin, "breaker.release", ManualOverride::Release, &detail).await
}

async fn hold(call: &Call<'_>, admin: &SignedIn, action: &str, share: Share) -> Result<Answer, WebError> {
    known(call)?;
    // Read the duration.
    let most = LONGEST.as_secs() / 60;
    let minutes = call.form.field("minutes").trim().parse().ok().filter(|minutes| (1..=most).contains(minutes));
    let mistake = || WebError::Invalid(format!("'minutes' takes a whole number from 1 to {most}."));
    let lasts = Duration::from_secs(minutes.ok_or_else(mistake)? * 60);
    // Describe the change for the audit, from the present share to the new one.
    let state = call.state.breakers.read(call.id).await.map_err(error::breakers)?;
    let detail = format!("{} to {share}, until {}", state.share, call.now.plus(lasts).to_rfc3339());
    make(call, admin, action, ManualOverride::Hold { share, lasts }, &detail).await
}

/// Writes the audit, then makes or ends the override.
async fn make(
    call: &Call<'_>,
    admin: &SignedIn,
    action: &str,
    word: ManualOverride,
    detail: &str,
) -> Result<Answer, WebError> {
    let detail = format!("{detail}{}", reason(&call.form)?);
    let by = &admin.user.email;
    record(call, by, action, call.id, &detail).await?;
    // Write the decision. Record in the audit if that fails.
    let decided = match apply(&call.state.breakers, call.id, word, by, call.now).await {
        Ok(decided) => decided,
        Err(error) => {
            let detail = "could not be done; nothing was changed, or it is not known";
            record(call, by, &format!("{action}.failed"), call.id, detail).await?;
            return Err(match error {
                OverrideError::NotHeld => not_held(),
                OverrideError::Overtaken | OverrideError::Table(_) => error::breakers(error),
            });
        }
    };
    // Log the decision, and answer with the new state.
    decided.tell("health-api", true);
    let report = BreakerReport::new(call.id, &decided.to, Peek::default(), call.now);
    let mut body = serde_json::to_value(&report).unwrap_or_default();
    body["effective_within_seconds"] = IN_FORCE_WITHIN.as_secs().into();
    Ok(call.changed(&body, &page::path(call.id)))
}

fn not_held() -> WebError {
    WebError::Invalid("There is no override for this provider: its breaker decides.".to_owned())
}

/// Returns the reason as the audit has it; empty if none was given.
fn reason(form: &Form) -> Result<String, WebError> {
    let text = form.field("reason").trim();
    if text.is_empty() {
        return Ok(String::new());
    }
    let text = checked(text).map_err(|_| {
        WebError::Invalid("'reason' takes 1 to 200 characters, none of them a control character.".to_owned())
    })?;
    Ok(format!(", reason '{text}'"))
}
