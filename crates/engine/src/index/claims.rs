//! Proving what peers say that they have, before it is listed.
//!
//! A peer claims contents with `Hold`. For each that it has not proven yet it is asked a question
//! which only the bytes answer: a triple deposited by a verified holder. If no triple is left, one
//! is fetched first, and the reply to `Hold` waits. Of many contents at once a sample is asked, and
//! the rest follows the sample: all or nothing. A publisher is believed without a question as long
//! as nobody else has proven to have the content, or nothing can be asked; so are, in the latter
//! case, those who have proven it before.

use std::collections::{BTreeMap, BTreeSet};

use rand::{rngs::StdRng, seq::index};
use skep_wire::{
    BlobId,
    message::{
        Answer, Answers, Done, Hold, Holding, Question, Questions, Reason, Triple, Verdicts, WantTriples,
    },
};

use super::{
    Caller, Denial, Effects, Index, OrderReply, SessionId,
    facts::{Fact, Key},
    holders::Tie,
    members::Who,
    sessions::Pending,
    shares::ShareNo,
};

/// The most contents in one `Hold` or `Drop`.
const MAX_HOLDINGS: usize = 1024;

/// The most triples deposited at once.
const MAX_DEPOSIT: usize = 8;

/// Of so many contents claimed as complete each is asked; of more, so many.
const SAMPLE: usize = 32;

/// The most unfinished claims of one connection.
const MAX_CLAIMS: usize = 16;

/// One `Hold` whose answers are awaited.
struct Claim {
    /// The frame of the `Hold`.
    request: u32,
    /// To be asked.
    sample: Vec<Holding>,
    /// All of these follow the sample.
    vouched: Vec<BlobId>,
    /// Triples on their way; once they are there, the `Hold` is answered.
    missing: BTreeSet<BlobId>,
    /// Asked and not answered yet.
    asked: BTreeMap<BlobId, Expected>,
    /// A complete content of the sample could not be asked, or the answer was wrong.
    spoiled: bool,
}

/// What the answer to a question must be.
struct Expected {
    answer: [u8; 32],
    complete: bool,
}

/// All unfinished claims.
#[derive(Default)]
pub(super) struct Claims {
    open: BTreeMap<(SessionId, u64), Claim>,
    last: u64,
    /// Contents of which triples were ordered, and who waits for them.
    ordered: BTreeMap<BlobId, Vec<(SessionId, u64)>>,
}

impl Claims {
    /// The connection is gone, and its claims with it.
    pub(super) fn close(&mut self, session: SessionId) {
        let ids: Vec<_> = self.of(session).collect();
        for id in ids {
            self.open.remove(&id);
        }
    }

    /// The claim whose question is answered. Several may ask about one content, a part of it and
    /// then all, and their answers may overtake each other: the right one, or else a part's, which
    /// a wrong answer harms least.
    fn asking(&mut self, session: SessionId, answer: &Answer) -> Option<&mut Claim> {
        let claims = self.open.range_mut((session, 0)..=(session, u64::MAX));
        let asking = claims.filter_map(|(_, claim)| {
            let expected = claim.asked.get(&answer.content)?;
            let wrong = answer.answer != Some(expected.answer);
            Some(((wrong, expected.complete), claim))
        });
        asking.min_by_key(|(harm, _)| *harm).map(|(_, claim)| claim)
    }

    fn of(&self, session: SessionId) -> impl Iterator<Item = (SessionId, u64)> {
        let claims = self.open.range((session, 0)..=(session, u64::MAX));
        claims.map(|(id, _)| *id)
    }

    fn add(&mut self, session: SessionId, claim: Claim) {
        self.last += 1;
        for content in &claim.missing {
            self.ordered
                .entry(*content)
                .or_default()
                .push((session, self.last));
        }
        self.open.insert((session, self.last), claim);
    }
}

impl Index {
    /// A peer says what it has. No reply means that it comes later.
    pub(super) fn hold(
        &mut self,
        caller: Caller,
        request: u32,
        hold: Hold,
        effects: &mut Effects,
    ) -> Result<Option<Questions>, Denial> {
        check_count(hold.holdings.len())?;
        if self.claims.of(caller.session).count() >= MAX_CLAIMS {
            let text = "answer the earlier questions first";
            return Err(Denial::new(Reason::Busy, text));
        }
        let mut unproven = Vec::new();
        for holding in dedup(hold.holdings) {
            if !self.must_prove(caller.who, &holding, effects) {
                continue;
            }
            if self.can_prove(caller.who, &holding.content) {
                unproven.push(holding);
            } else {
                self.trust(caller.who, &holding, effects);
            }
        }
        let (sample, vouched) = choose(unproven, &mut self.rng);
        let missing = self.fetch_triples(caller.who, &sample, effects);
        let claim = Claim {
            request,
            sample,
            vouched,
            missing,
            asked: BTreeMap::new(),
            spoiled: false,
        };
        if claim.missing.is_empty() {
            return Ok(Some(self.ask(caller, claim, effects)));
        }
        self.claims.add(caller.session, claim);
        Ok(None)
    }

    /// A peer answers questions. Says which contents are not listed.
    pub(super) fn answers(
        &mut self,
        caller: Caller,
        answers: Answers,
        effects: &mut Effects,
    ) -> Result<Verdicts, Denial> {
        check_count(answers.answers.len())?;
        let mut refused = Vec::new();
        for answer in answers.answers {
            let content = answer.content;
            if !self.judge(caller, answer, effects) {
                refused.push(content);
            }
        }
        let ids: Vec<_> = self.claims.of(caller.session).collect();
        for id in ids {
            self.settle(caller.who, id, &mut refused, effects);
        }
        Ok(Verdicts { refused })
    }

    /// A peer has these no more.
    pub(super) fn drop_holdings(
        &mut self,
        caller: Caller,
        contents: &[BlobId],
        effects: &mut Effects,
    ) -> Result<Done, Denial> {
        check_count(contents.len())?;
        for content in contents {
            self.unlist(caller.who, content, effects);
        }
        Ok(Done {})
    }

    /// A peer published this content: it is believed to have it if nobody else has, and what it
    /// deposits is kept if it is listed.
    pub(super) fn believe_publisher(
        &mut self,
        who: Who,
        content: &BlobId,
        triples: Vec<Triple>,
        effects: &mut Effects,
    ) {
        let complete = true;
        let claimed = Holding {
            content: *content,
            complete,
        };
        if !self.must_prove(who, &claimed, effects) {
            self.holders.deposit(content, who, triples);
        }
    }

    /// Triples came, or will not: the claims that waited for them go on.
    pub(super) fn triples_came(
        &mut self,
        who: Option<Who>,
        content: BlobId,
        reply: OrderReply,
        effects: &mut Effects,
    ) {
        if let (Some(who), OrderReply::Deposit(deposit)) = (who, reply)
            && self.holders.tie(who, &content) == Tie::Complete
            && deposit.triples.len() <= MAX_DEPOSIT
        {
            self.holders.deposit(&content, who, deposit.triples);
        }
        for id in self.claims.ordered.remove(&content).unwrap_or_default() {
            let Some(claim) = self.claims.open.get_mut(&id) else {
                continue;
            };
            claim.missing.remove(&content);
            if claim.missing.is_empty() {
                self.ask_late(id, effects);
            }
        }
    }

    /// Whether the member has to prove this holding; what needs no proof is listed.
    fn must_prove(&mut self, who: Who, holding: &Holding, effects: &mut Effects) -> bool {
        if !self.may_see(who, &holding.content) {
            return false;
        }
        let believed = match (self.holders.tie(who, &holding.content), holding.complete) {
            (Tie::Complete, _) | (Tie::Partial, false) => return false,
            (Tie::Doubted, true) => true,
            (Tie::Doubted, false) => {
                self.unlist(who, &holding.content, effects);
                false
            }
            (Tie::Partial | Tie::None, complete) => complete && self.is_first(who, &holding.content),
        };
        if believed {
            self.list(who, &holding.content, true, effects);
        }
        !believed
    }

    /// Whether the member publishes this content, and nobody else has proven to have it.
    fn is_first(&self, who: Who, content: &BlobId) -> bool {
        let held = self.holders.find(content).is_none_or(|content| content.is_held());
        !held && self.publishes(who, content)
    }

    /// Where there is nothing to ask, those are believed who publish the content or have proven it
    /// before: all others who could prove it may be gone for good. Says whether the member is.
    fn trust(&mut self, who: Who, holding: &Holding, effects: &mut Effects) -> bool {
        let content = &holding.content;
        let known = self.holders.tie(who, content) == Tie::Doubted || self.publishes(who, content);
        let trusted = holding.complete && known;
        if trusted {
            self.list(who, content, true, effects);
        }
        trusted
    }

    fn publishes(&self, who: Who, content: &BlobId) -> bool {
        let by_member = |share: &ShareNo| self.shares[*share].publisher == who;
        self.holders
            .find(content)
            .is_some_and(|content| content.shares.iter().any(by_member))
    }

    /// Whether there is, or can be had, a question about this content.
    fn can_prove(&mut self, who: Who, content: &BlobId) -> bool {
        let known = self.holders.find(content);
        known.is_some_and(|content| content.has_triples())
            || self.holders.witness(content, who, &mut self.rng).is_some()
    }

    fn list(&mut self, who: Who, content: &BlobId, complete: bool, effects: &mut Effects) {
        if self.holders.list(who, content, complete) {
            effects.set(&Fact::Holding(self.members[who].key, *content));
        }
    }

    fn unlist(&mut self, who: Who, content: &BlobId, effects: &mut Effects) {
        if matches!(self.holders.tie(who, content), Tie::Complete | Tie::Doubted) {
            effects.remove(&Key::Holding(self.members[who].key, *content));
        }
        self.holders.unlist(who, content);
    }

    /// Orders triples for those of the sample that have none, and says for which they will come.
    fn fetch_triples(&mut self, who: Who, sample: &[Holding], effects: &mut Effects) -> BTreeSet<BlobId> {
        let mut missing = BTreeSet::new();
        for Holding { content, .. } in sample {
            let has = self
                .holders
                .find(content)
                .is_some_and(|content| content.has_triples());
            if !has && self.order_triples(who, *content, effects) {
                missing.insert(*content);
            }
        }
        missing
    }

    /// Orders triples from some holder, unless they are on their way already. Says whether they are.
    fn order_triples(&mut self, other_than: Who, content: BlobId, effects: &mut Effects) -> bool {
        if self.claims.ordered.contains_key(&content) {
            return true;
        }
        let witness = self.holders.witness(&content, other_than, &mut self.rng);
        let Some(session) = witness.and_then(|who| self.attendance.session(who)) else {
            return false;
        };
        let order = WantTriples { content };
        let ordered = self
            .sessions
            .order(session, order, Pending::Triples(content), effects);
        if ordered {
            self.claims.ordered.insert(content, Vec::new());
        }
        ordered
    }

    /// Turns the sample into questions. The rest is not believed unless all of it can be asked.
    fn ask(&mut self, caller: Caller, mut claim: Claim, effects: &mut Effects) -> Questions {
        let mut questions = Vec::new();
        for Holding { content, complete } in std::mem::take(&mut claim.sample) {
            let Some(Triple { nonce, leaf, answer }) = self.holders.take_triple(&content) else {
                let trusted = self.trust(caller.who, &Holding { content, complete }, effects);
                claim.spoiled |= complete && !trusted;
                continue;
            };
            claim.asked.insert(content, Expected { answer, complete });
            questions.push(Question { content, nonce, leaf });
            if self
                .holders
                .find(&content)
                .is_some_and(|content| content.lacks_triples())
            {
                self.order_triples(caller.who, content, effects);
            }
        }
        if !questions.is_empty() {
            self.claims.add(caller.session, claim);
        }
        Questions { questions }
    }

    /// The last of the missing triples came: answers the `Hold`.
    fn ask_late(&mut self, id: (SessionId, u64), effects: &mut Effects) {
        let who = self.sessions.get(id.0).and_then(|session| session.who);
        let (Some(claim), Some(who)) = (self.claims.open.remove(&id), who) else {
            return;
        };
        let (session, request) = (id.0, claim.request);
        let questions = self.ask(Caller { session, who }, claim, effects);
        effects.reply(session, request, questions);
    }

    /// Whether the content is listed, by this answer or before.
    fn judge(&mut self, caller: Caller, answer: Answer, effects: &mut Effects) -> bool {
        let claim = self.claims.asking(caller.session, &answer);
        let Answer {
            content,
            answer,
            triples,
        } = answer;
        let asked = claim.and_then(|claim| Some((claim.asked.remove(&content)?, &mut claim.spoiled)));
        let Some((expected, spoiled)) = asked else {
            return matches!(
                self.holders.tie(caller.who, &content),
                Tie::Complete | Tie::Partial
            );
        };
        if answer != Some(expected.answer) {
            // A part need not contain the leaf that was asked: that says nothing about the rest.
            *spoiled |= expected.complete;
            return false;
        }
        self.list(caller.who, &content, expected.complete, effects);
        if triples.len() <= MAX_DEPOSIT {
            self.holders.deposit(&content, caller.who, triples);
        }
        true
    }

    /// Once all questions of a claim are answered, the rest of it follows the sample.
    fn settle(&mut self, who: Who, id: (SessionId, u64), refused: &mut Vec<BlobId>, effects: &mut Effects) {
        let claim = &self.claims.open[&id];
        if !claim.asked.is_empty() || !claim.missing.is_empty() {
            return;
        }
        let Some(claim) = self.claims.open.remove(&id) else {
            return;
        };
        if claim.spoiled {
            refused.extend(claim.vouched);
            return;
        }
        for content in claim.vouched {
            self.list(who, &content, true, effects);
        }
    }
}

fn check_count(count: usize) -> Result<(), Denial> {
    if count <= MAX_HOLDINGS {
        return Ok(());
    }
    let text = format!("at most {MAX_HOLDINGS} contents at once");
    Err(Denial::new(Reason::BadRequest, text))
}

/// Each content once; all of it, if it is said to be there as a part and as a whole.
fn dedup(holdings: Vec<Holding>) -> Vec<Holding> {
    let mut seen = BTreeMap::new();
    for holding in holdings {
        *seen.entry(holding.content).or_insert(false) |= holding.complete;
    }
    let holding = |(content, complete)| Holding { content, complete };
    seen.into_iter().map(holding).collect()
}

/// Splits into those to be asked and those that follow them. Parts are always asked.
fn choose(unproven: Vec<Holding>, rng: &mut StdRng) -> (Vec<Holding>, Vec<BlobId>) {
    let (complete, mut sample): (Vec<_>, Vec<_>) = unproven.into_iter().partition(|holding| holding.complete);
    let asked: BTreeSet<usize> = index::sample(rng, complete.len(), SAMPLE.min(complete.len()))
        .into_iter()
        .collect();
    let mut vouched = Vec::new();
    for (place, holding) in complete.into_iter().enumerate() {
        if asked.contains(&place) {
            sample.push(holding);
        } else {
            vouched.push(holding.content);
        }
    }
    (sample, vouched)
}
