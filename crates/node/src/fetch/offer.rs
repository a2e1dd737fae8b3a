//! Offering what is here of a download while the rest is still coming.
//!
//! Those who download the same at the same time feed each other: they have to know of each other early.

use std::sync::{Arc, Weak};

use skep_store::Partial;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::job::{Job, News};
use crate::{announce, holdings, shelf};

/// How often in the course of a download the coordinator is told that a part is here.
const TELLINGS: u64 = 8;
/// What has fewer chunks is not announced: it is done before anybody could make use of it.
const LEAST_ANNOUNCED: u64 = 16;

/// A part on the shelf.
pub(super) struct Offer {
    job: Arc<Job>,
    item: Arc<shelf::Item>,
    partial: Arc<Partial>,
    /// Chunks stored since the coordinator was last told.
    untold: u64,
    /// Held while an announcement is under way.
    announcing: Weak<OwnedSemaphorePermit>,
    news: mpsc::Sender<News>,
}

impl Offer {
    /// Puts the part on the shelf and announces it; none if others may not have it from here, or it
    /// is there already. The sooner the better, even before anything is here: what the coordinator asks
    /// about is then the first thing that is fetched.
    pub(super) fn begin(job: &Arc<Job>, partial: &Arc<Partial>, news: &mpsc::Sender<News>) -> Option<Self> {
        let record = job.goal.record.clone()?;
        let (core, id) = (&job.core, job.goal.content.id);
        if core.shelf.item(id).is_some() {
            return None;
        }
        let mut records = holdings::records_of(&core.catalog.state(), id);
        records.push(record);
        let body = shelf::Body::Growing(partial.clone());
        let mut offer = Self {
            job: job.clone(),
            item: core.shelf.put(id, body, records),
            partial: partial.clone(),
            untold: 0,
            announcing: Weak::new(),
            news: news.clone(),
        };
        offer.announce();
        Some(offer)
    }

    /// There is a chunk more.
    pub(super) fn grown(&mut self) {
        // Nobody listens if nobody asked for it.
        let _ = self.item.grown.send(());
        self.untold += 1;
        if self.untold > self.partial.layout().chunks() / TELLINGS {
            self.announce();
        }
    }

    /// A part that nobody completes is not offered any longer.
    pub(super) fn withdraw(self) {
        self.job.core.shelf.remove(self.job.goal.content.id);
    }

    fn announce(&mut self) {
        self.untold = 0;
        let core = self.job.core.clone();
        if self.partial.layout().chunks() < LEAST_ANNOUNCED || self.announcing.strong_count() > 0 {
            return;
        }
        // Too many at once: there is a next time.
        let Ok(place) = core.downloads.announcing().try_acquire_owned() else {
            return;
        };
        let place = Arc::new(place);
        self.announcing = Arc::downgrade(&place);
        let (id, grown) = (self.job.goal.content.id, self.item.grown.subscribe());
        let news = self.news.clone();
        self.job.core.spawn(async move {
            let wanted = async |chunk| drop(news.send(News::Asked { chunk }).await);
            if let Err(error) = announce::hold_part(&core, id, wanted, grown).await {
                tracing::debug!("what is here of {id} is not announced: {error}");
            }
            drop(place);
        });
    }
}
