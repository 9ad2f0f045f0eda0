//! Recent errors: breadcrumbs, filtered and in pages.

use http::StatusCode;
use levee::breadcrumbs::{Breadcrumb, BreadcrumbPage, Cursor, Filter, KEPT_DAYS, Severity};
use levee::clock::Timestamp;
use levee::http::Links;
use levee::web::{Answer, WebError, json, show, table};
use maud::{Markup, html};
use serde::Serialize;
use url::form_urlencoded::Serializer;

use crate::site::{Call, SignedIn};
use crate::snapshot::Moment;
use crate::{error, layout};

const PAGE: &str = "/admin/errors";
const COLUMNS: [&str; 8] = ["Last", "How often", "Function", "What", "Message", "Account", "About", "Request"];

/// One error, for JSON and for pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// Moment of its last occurrence within its minute.
    pub at: Moment,
    /// Moment of its first occurrence within its minute.
    pub first_at: Moment,
    /// Number of occurrences within its minute.
    pub count: u64,
    /// Function that logged it.
    pub function: String,
    /// Severity: warning or error.
    pub severity: Severity,
    /// Stable machine-readable code.
    pub code: String,
    /// Message of the log line.
    pub message: String,
    /// Affected account, if there is one.
    pub account: Option<String>,
    /// Provider or connection that it is about.
    pub connection: Option<String>,
    /// Id of the first affected request.
    pub request_id: Option<String>,
    /// Link to the story of that request.
    pub story: Option<String>,
    /// Latest other affected requests, newest last.
    pub more_requests: Vec<ErrorRequest>,
}

/// One of the requests that an error affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorRequest {
    /// Id of the request.
    pub request_id: String,
    /// Link to its story.
    pub story: String,
}

impl ErrorReport {
    pub(crate) fn new(breadcrumb: Breadcrumb, links: &Links) -> Self {
        let Breadcrumb { first_at, last_at, function, severity, code, message, .. } = breadcrumb;
        let Breadcrumb { request_id, more_request_ids, account, connection, count, .. } = breadcrumb;
        // Link the affected requests to their stories.
        let story = request_id.as_deref().map(|id| layout::story_link(links, id));
        let told = |request_id: String| ErrorRequest { story: layout::story_link(links, &request_id), request_id };
        let more_requests = more_request_ids.into_iter().map(told).collect();
        let (at, first_at) = (Moment(Timestamp::from_millis(last_at)), Moment(Timestamp::from_millis(first_at)));
        Self {
            at,
            first_at,
            count,
            function,
            severity,
            code,
            message,
            account,
            connection,
            request_id,
            story,
            more_requests,
        }
    }
}

/// Renders errors as a table.
pub(crate) fn rows(links: &Links, caption: &str, errors: &[ErrorReport]) -> Markup {
    let rows: Vec<_> = errors
        .iter()
        .map(|error| {
            let class = if error.severity == Severity::Error { "bad" } else { "warn" };
            html! {
                td { (show::time(error.at.0)) }
                td { (show::count(error.count, "time")) }
                td { (error.function) }
                td { strong class=(class) { (error.severity.name()) } " " code { (error.code) } }
                td.wide { (error.message) }
                td { (error.account.as_deref().unwrap_or_default()) }
                td { (error.connection.as_deref().unwrap_or_default()) }
                td {
                    (layout::story(links, error.request_id.as_deref()))
                    @for other in &error.more_requests { " " (layout::story(links, Some(&other.request_id))) }
                }
            }
        })
        .collect();
    table(caption, &COLUMNS, &rows, "No errors.")
}

/// Filter and page that the caller asks for.
struct ErrorQuery {
    filter: Filter,
    after: Option<Cursor>,
    limit: usize,
}

impl ErrorQuery {
    fn from_call(call: &Call<'_>) -> Result<Self, WebError> {
        let name = |name: &str| call.query_name(name).map(|value| value.map(str::to_owned));
        let severity = match call.query("severity") {
            None => None,
            Some("warning") => Some(Severity::Warning),
            Some("error") => Some(Severity::Error),
            Some(_) => return Err(WebError::Invalid("'severity' takes warning or error.".to_owned())),
        };
        let after = call.query("after").map(str::parse).transpose();
        let after = after.map_err(|_| WebError::Invalid("'after' takes what a page before said.".to_owned()))?;
        let filter = Filter { function: name("function")?, code: name("code")?, severity, account: name("account")? };
        Ok(Self { filter, after, limit: call.limit()? })
    }

    async fn read(&self, call: &Call<'_>) -> Result<(Vec<ErrorReport>, Option<Cursor>), WebError> {
        let page = call.state.breadcrumbs.page(&self.filter, self.after.as_ref(), self.limit, call.now).await;
        let BreadcrumbPage { breadcrumbs, next } = page.map_err(error::breadcrumbs)?;
        Ok((breadcrumbs.into_iter().map(|breadcrumb| ErrorReport::new(breadcrumb, call.links)).collect(), next))
    }

    /// Returns the link to the page that begins at `next`, with the same filter.
    fn link(&self, links: &Links, next: &Cursor) -> String {
        let Filter { function, code, severity, account } = &self.filter;
        let mut query = Serializer::new(String::new());
        // Repeat the parts of the filter that are set.
        for (name, value) in [
            ("function", function.as_deref()),
            ("code", code.as_deref()),
            ("severity", severity.map(Severity::name)),
            ("account", account.as_deref()),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.append_pair("limit", &self.limit.to_string()).append_pair("after", &next.to_string());
        format!("{}?{}", links.to(PAGE), query.finish())
    }
}

/// Answers with a page of recent errors as JSON.
pub(crate) async fn list(call: &Call<'_>) -> Result<Answer, WebError> {
    let (breadcrumbs, next) = ErrorQuery::from_call(call)?.read(call).await?;
    let next = next.map(|next| next.to_string());
    Ok(json(StatusCode::OK, &serde_json::json!({ "breadcrumbs": breadcrumbs, "next": next })))
}

/// Shows a page of recent errors, with a form to filter them.
pub(crate) async fn page(call: &Call<'_>, admin: &SignedIn) -> Result<Answer, WebError> {
    let asked = ErrorQuery::from_call(call)?;
    let (errors, next) = asked.read(call).await?;
    let content = html! {
        (filter_form(call, &asked.filter))
        (rows(call.links, &format!("The last {KEPT_DAYS} days, newest first"), &errors))
        @if let Some(next) = &next { p { a href=(asked.link(call.links, next)) { "Older errors" } } }
    };
    Ok(layout::page(call, admin, PAGE, "Errors", content))
}

fn filter_form(call: &Call<'_>, filter: &Filter) -> Markup {
    let text = |name: &str, label: &str, value: &Option<String>| {
        html! { label { (label) input name=(name) value=(value.as_deref().unwrap_or_default()) maxlength="64"; } }
    };
    html! {
        form.row method="get" action=(call.links.to(PAGE)) role="search" aria-label="Filter errors" {
            (text("function", "Function", &filter.function))
            (text("code", "Code", &filter.code))
            label {
                "Severity"
                select name="severity" {
                    option value="" { "any" }
                    @for severity in [Severity::Error, Severity::Warning] {
                        option value=(severity.name()) selected[filter.severity == Some(severity)] { (severity.name()) }
                    }
                }
            }
            (text("account", "Account", &filter.account))
            button { "Filter" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_comes_out_escaped() {
        let links = Links::configured("https://levee.example").unwrap();
        let breadcrumb = Breadcrumb {
            first_at: 1_700_000_000_000,
            last_at: 1_700_000_001_000,
            function: "ai-proxy".to_owned(),
            severity: Severity::Error,
            code: "provider.cut".to_owned(),
            message: "<script>alert(1)</script>".to_owned(),
            request_id: Some("/I35=\"><b>".to_owned()),
            more_request_ids: vec!["Xy+1".to_owned()],
            account: Some("<i>".to_owned()),
            connection: None,
            count: 2,
        };
        let shown = rows(&links, "Errors", &[ErrorReport::new(breadcrumb, &links)]).into_string();
        for raw in ["<script>", "<i>", "<b>"] {
            assert!(!shown.contains(raw), "{raw} in {shown}");
        }
        let (_, row) = shown.split_once("<tbody>").unwrap();
        insta::assert_snapshot!(row.replace("</td>", "</td>\n"), @r#"
        <tr><td><time datetime="2023-11-14T22:13:21Z">2023-11-14 22:13:21 UTC</time></td>
        <td>2 times</td>
        <td>ai-proxy</td>
        <td><strong class="bad">error</strong> <code>provider.cut</code></td>
        <td class="wide">&lt;script&gt;alert(1)&lt;/script&gt;</td>
        <td>&lt;i&gt;</td>
        <td></td>
        <td><a href="/admin/requests?id=%2FI35%3D%22%3E%3Cb%3E"><code>/I35=&quot;&gt;&lt;b&gt;</code></a> <a href="/admin/requests?id=Xy%2B1"><code>Xy+1</code></a></td>
        </tr></tbody></table></div>
        "#);
    }
}
