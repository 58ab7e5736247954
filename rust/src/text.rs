//! Text from outside.

use std::borrow::Cow;

use o_core::text::{self, Finding, Limits};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::gil;

/// From these sizes on the work may pass 50 us, where every character has to be marked or compared.
const LONG_BYTES: usize = 2 * 1024;
const LONG_HIDDEN_BYTES: usize = 240;

/// What Python holds as text, in UTF-8 that may have surrogates in it.
fn wtf8<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
    Ok(bytes.cast_into::<PyBytes>()?)
}

/// Text from outside, with everything that could act on a terminal or deceive a reader made visible.
///
/// Returns the same object where nothing had to change. Never raises for what is in the text.
#[pyfunction]
#[pyo3(signature = (text, max_chars=0, keep_newlines=true))]
pub fn safe_text<'py>(
    text: Bound<'py, PyString>,
    max_chars: usize,
    keep_newlines: bool,
) -> PyResult<Bound<'py, PyString>> {
    let py = text.py();
    let limits = Limits {
        max_chars,
        keep_newlines,
    };
    let Ok(utf8) = text.to_str() else {
        let bytes = wtf8(&text)?;
        let bytes = bytes.as_bytes();
        let shown = gil::away_if(py, bytes.len() > LONG_BYTES, || {
            let marked = text::from_wtf8(bytes, |_, code| text::surrogate_mark(code));
            text::safe(&marked, limits).into_owned()
        });
        return Ok(PyString::new(py, &shown));
    };
    let long = utf8.len() > LONG_BYTES;
    let shown = gil::away_if(py, long, || text::safe(utf8, limits));
    match shown {
        Cow::Borrowed(same) if same.len() == utf8.len() => Ok(text.clone()),
        other => Ok(PyString::new(py, &other)),
    }
}

/// What a reviewer would not see in `text`: `(index of the character, what it is)`, in order.
///
/// Invisible and bidi characters, controls, blanks that look like nothing, piles of marks, and letters in
/// identifiers that look like Latin ones or are read as other ones.
#[pyfunction]
pub fn hidden(text: &Bound<'_, PyString>) -> PyResult<Vec<(usize, String)>> {
    let py = text.py();
    let found = match text.to_str() {
        Ok(utf8) => gil::away_if(py, utf8.len() > LONG_HIDDEN_BYTES, || text::hidden(utf8)),
        Err(_) => {
            let bytes = wtf8(text)?;
            let bytes = bytes.as_bytes();
            gil::away_if(py, bytes.len() > LONG_HIDDEN_BYTES, || {
                hidden_in_wtf8(bytes)
            })
        }
    };
    Ok(found
        .into_iter()
        .map(|finding| (finding.index, finding.name))
        .collect())
}

/// `text::hidden` of what has surrogates in it, and these.
fn hidden_in_wtf8(bytes: &[u8]) -> Vec<Finding> {
    let mut found = Vec::new();
    let replaced = text::from_wtf8(bytes, |index, code| {
        let name = format!("U+{code:04X} LONE SURROGATE");
        found.push(Finding { index, name });
        '\u{fffd}'.to_string()
    });
    found.extend(text::hidden(&replaced));
    found.sort();
    found
}
