//! `GET /v1/catalogs/{catalog}` and `GET /v1/catalogs/{catalog}/{id}`: the catalogs, which all accounts read.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use lambda_http::{Request, RequestExt};
use levee::cache::SourceGone;
use levee::catalogs::form::{LONGEST_ID, is_word};
use levee::catalogs::{Catalog, PageQuery, UnknownCatalog};
use levee::http::{Problem, cache_headers, is_not_modified};

use crate::config::CustomerApiState;
use crate::parameters::{invalid, only_known, parameter};
use crate::report::CustomerApiReport;

/// Query parameters of a list.
const PARAMETERS: [&str; 3] = ["limit", "cursor", "category"];
/// `Retry-After` while no catalog can be read, seconds.
const RETRY_AFTER_SECS: u64 = 5;

/// Part of a catalog that a request asks for.
enum CatalogPart {
    Page(PageQuery),
    Item(String),
}

/// Answers with a page of a catalog.
pub(crate) async fn list(
    state: &CustomerApiState,
    required: Option<u64>,
    request: &Request,
    request_id: &str,
    report: &mut CustomerApiReport,
) -> Result<Response<String>, Problem> {
    let catalog = catalog(request)?;
    only_known(request, &PARAMETERS)?;
    let [limit, cursor, category] = PARAMETERS.map(|name| parameter(request, name));
    let query = PageQuery::parse(limit, cursor, category).map_err(invalid)?;
    answer(state, catalog, required, CatalogPart::Page(query), (request, request_id), report).await
}

/// Answers with one item of a catalog.
pub(crate) async fn item(
    state: &CustomerApiState,
    required: Option<u64>,
    request: &Request,
    request_id: &str,
    report: &mut CustomerApiReport,
) -> Result<Response<String>, Problem> {
    let catalog = catalog(request)?;
    // An id of another form is that of no item.
    only_known(request, &[])?;
    let id = request.path_parameters_ref().and_then(|path| path.first("id")).unwrap_or_default();
    if !is_word(id, LONGEST_ID) {
        return Err(not_found(catalog));
    }
    answer(state, catalog, required, CatalogPart::Item(id.to_owned()), (request, request_id), report).await
}

async fn answer(
    state: &CustomerApiState,
    catalog: Catalog,
    required: Option<u64>,
    wanted: CatalogPart,
    (request, request_id): (&Request, &str),
    report: &mut CustomerApiReport,
) -> Result<Response<String>, Problem> {
    // Read the catalog through the cache.
    let found = state.catalogs.read(catalog, required).await.map_err(|error| unavailable(request_id, &error))?;
    let now = state.clock.now();
    report.cached(catalog, &found, now);
    // Take the page or the item. A catalog that was never written is empty.
    let empty = Default::default();
    let snapshot = found.entry.value.as_ref().unwrap_or(&empty);
    let (body, etag) = match &wanted {
        CatalogPart::Page(query) => {
            let page = snapshot.page(catalog, query);
            (page.body, page.etag)
        }
        CatalogPart::Item(id) => {
            let item = snapshot.item(id).ok_or_else(|| not_found(catalog))?;
            (item.body.clone(), item.etag())
        }
    };
    // Leave the body out if the client has it already.
    let is_known = is_not_modified(request.headers(), &etag);
    let mut response = Response::new(if is_known { String::new() } else { body });
    let headers = response.headers_mut();
    headers.extend(cache_headers(&found, &etag, now));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(response)
}

fn catalog(request: &Request) -> Result<Catalog, Problem> {
    let name = request.path_parameters_ref().and_then(|path| path.first("catalog")).unwrap_or_default();
    name.parse().map_err(|UnknownCatalog| {
        let names = Catalog::ALL.map(Catalog::name).join(", ");
        let detail = format!("There is no such catalog. The catalogs are {names}.");
        Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
    })
}

fn not_found(catalog: Catalog) -> Problem {
    let detail = format!("There is no such item in the catalog '{catalog}'.");
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

fn unavailable(request_id: &str, error: &SourceGone) -> Problem {
    tracing::error!(code = "catalogs.unreadable", request.id = request_id, %error, "a catalog cannot be read");
    let detail = format!("The catalog cannot be read right now. Retry in {RETRY_AFTER_SECS} seconds.");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).retry_after(RETRY_AFTER_SECS)
}
