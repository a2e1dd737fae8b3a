//! What is known of a content while it is downloaded: of a folder, at first, only its manifest's size.

use std::{io, sync::Arc};

use skep_wire::{
    Layout, Manifest,
    manifest::MAX_MANIFEST_BYTES,
    record::{Content, ContentKind},
};

use super::PartialError;
use crate::{
    home::{self, Home},
    outlines::{Object, Slots},
};

/// The shape of a content.
pub(super) struct Body {
    pub(super) content: Content,
    pub(super) layout: Arc<Layout>,
    /// Of a folder, once it is whole.
    pub(super) manifest: Option<Arc<Manifest>>,
}

impl Body {
    /// Object 0 alone.
    pub(super) fn head(content: Content) -> Self {
        Self {
            content,
            layout: Arc::new(Layout::blob(content.size)),
            manifest: None,
        }
    }

    pub(super) fn folder(content: Content, manifest: Manifest) -> Self {
        Self {
            content,
            layout: Arc::new(Layout::collection(content.size, &manifest)),
            manifest: Some(Arc::new(manifest)),
        }
    }

    /// Whether all objects are known.
    pub(super) fn is_known(&self) -> bool {
        self.content.kind == ContentKind::File || self.manifest.is_some()
    }

    pub(super) fn object(&self, number: u32) -> Option<Object> {
        let Content { id, size, .. } = self.content;
        if number == 0 {
            return Some(Object { number, id, size });
        }
        let file = self.manifest.as_ref()?.file(number)?;
        Some(Object {
            number,
            id: file.id,
            size: file.size,
        })
    }

    pub(super) fn slots(&self) -> Slots {
        let files = self
            .manifest
            .iter()
            .flat_map(|manifest| manifest.files().map(|file| file.size));
        Slots::new([self.content.size].into_iter().chain(files))
    }
}

/// The manifest of `content` in the home, if it is there as a whole.
pub(super) fn load_manifest(home: &Home, content: Content) -> Result<Option<Manifest>, PartialError> {
    let file = match home.read(&home::manifest(content.id)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if file.stat()?.size != content.size {
        return Ok(None);
    }
    let size = content.size.min(MAX_MANIFEST_BYTES);
    let mut bytes = vec![0; usize::try_from(size).expect("a manifest has at most 1 GiB")];
    file.read_exact_at(0, &mut bytes)?;
    if *blake3::hash(&bytes).as_bytes() != content.id.0 {
        return Ok(None);
    }
    Ok(Some(Manifest::decode(&bytes).map_err(PartialError::BadManifest)?))
}
