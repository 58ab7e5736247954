//! Text from outside.

use std::borrow::Cow;

use o_core::text::{self, Finding, Limits};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// From this size on the work passes 50 us, and the GIL is released around it.
const LONG_BYTES: usize = 16 * 1024;

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
        let marked = text::from_wtf8(bytes.as_bytes(), |_, code| text::surrogate_mark(code));
        return Ok(PyString::new(py, &text::safe(&marked, limits)));
    };
    let shown = if utf8.len() < LONG_BYTES {
        text::safe(utf8, limits)
    } else {
        py.detach(|| text::safe(utf8, limits))
    };
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
    let mut found = match text.to_str() {
        Ok(utf8) if utf8.len() < LONG_BYTES => text::hidden(utf8),
        Ok(utf8) => text.py().detach(|| text::hidden(utf8)),
        Err(_) => {
            let mut surrogates = Vec::new();
            let replaced = text::from_wtf8(wtf8(text)?.as_bytes(), |index, code| {
                let name = format!("U+{code:04X} LONE SURROGATE");
                surrogates.push(Finding { index, name });
                '\u{fffd}'.to_string()
            });
            surrogates.extend(text::hidden(&replaced));
            surrogates
        }
    };
    found.sort();
    Ok(found
        .into_iter()
        .map(|finding| (finding.index, finding.name))
        .collect())
}
