//! A keeper that says that it has what it does not have, and what becomes of that.

use std::{sync::Arc, time::Duration};

use skep_net::{AskError, Inbox, Link};
use skep_wire::{
    Signed, SigningKey,
    message::{
        Attend, Condemn, Done, Heartbeat, HeartbeatSeen, Held, HeldShard, Join, Joined, KeepHead, Message,
        ProveShard, Reason, Returned, ShardProof, ShardsKnown, Welcome,
    },
    record::Grant,
    ticket::Ticket,
};
use skep_world::World;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    device::{Device, open},
    town::{GRACE, Town},
};

const AUDITED: Duration = Duration::from_secs(60);

/// A storage peer, played by hand.
struct Liar {
    world: World,
    key: Arc<SigningKey>,
    ticket: Ticket,
    grant: Signed<Grant>,
    link: Option<Link>,
    serving: JoinSet<()>,
}

impl Liar {
    async fn join(town: &Town) -> Self {
        let world = town.universe.machine([10, 0, 3, 1].into()).boot();
        let (key, ticket) = (Arc::new(SigningKey::from_seed([66; 32])), town.ticket.clone());
        let (link, _inbox) = open(&world, &key, &ticket, None).await;
        let join = Join {
            secret: ticket.secret,
            name: None,
            role: None,
        };
        let Joined { grant, .. } = link.ask(&join).await.unwrap();
        link.close();
        Self {
            world,
            key,
            ticket,
            grant,
            link: None,
            serving: JoinSet::new(),
        }
    }

    /// Connects anew, and answers audits with this, or with errors.
    async fn attend(&mut self, answer: Option<ShardProof>) {
        self.serving.abort_all();
        let grant = Some(self.grant.clone());
        let (link, inbox) = open(&self.world, &self.key, &self.ticket, grant).await;
        let attend = Attend {
            listen_port: 0,
            advertise: None,
            capacity_bytes: 1 << 30,
            used_bytes: 0,
            site: None,
            holdings: [0; 32],
        };
        let _: Welcome = link.ask(&attend).await.unwrap();
        self.serving.spawn(beat(link.clone()));
        self.serving.spawn(lie(inbox, answer));
        self.link = Some(link);
    }

    async fn ask<Q: Message, R: Message>(&self, request: &Q) -> Result<R, AskError> {
        self.link.as_ref().expect("it attends").ask(request).await
    }

    async fn claim(&self, held: &HeldShard) {
        let shards = vec![held.clone()];
        let Done {} = self.ask(&Held { shards }).await.unwrap();
    }
}

async fn beat(link: Link) {
    while link
        .ask::<_, HeartbeatSeen>(&Heartbeat { used_bytes: 0 })
        .await
        .is_ok()
    {
        sleep(Duration::from_secs(5)).await;
    }
}

async fn lie(mut inbox: Inbox, answer: Option<ShardProof>) {
    while let Some(incoming) = inbox.recv().await {
        match (incoming.kind, &answer) {
            (ProveShard::KIND, Some(answer)) => incoming.responder.reply(answer).await,
            (ProveShard::KIND, None) => incoming.responder.refuse(Reason::Internal, "not now").await,
            _ => incoming.responder.reply(&Done {}).await,
        }
    }
}

/// Waits until so many holders of a pack may be lost.
async fn until_survives(device: &Device, n: u8, count: u32) {
    let waiting = async {
        while device.survives(n).await != count {
            sleep(Duration::from_secs(5)).await;
        }
    };
    let waited = timeout(Duration::from_secs(3600), waiting).await;
    assert!(waited.is_ok(), "{} instead of {count}", device.survives(n).await);
}

#[tokio::test(start_paused = true)]
async fn who_answers_audits_with_errors_does_not_count_whatever_it_says_later() {
    let town = Town::audited(3, AUDITED).await;
    let mut device = Device::join(&town).await;
    device.back_up(1).await;
    let mut liar = Liar::join(&town).await;
    liar.attend(None).await;
    let held = device.held(1, 0);
    // It says again and again that it has it, on new connections.
    for _ in 0..3 {
        liar.claim(&held).await;
        assert_eq!(device.survives(1).await, 3, "it is believed at first");
        until_survives(&device, 1, 2).await;
        liar.attend(None).await;
    }
    liar.claim(&held).await;
    assert_eq!(device.survives(1).await, 2, "and then not any more");
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_shows_another_shard_is_found_at_once() {
    let town = Town::audited(3, AUDITED).await;
    let mut device = Device::join(&town).await;
    device.back_up(1).await;
    let holders = device.back_up(2).await;
    let proof = device.prove(2, &holders[1], 1).await.expect("an honest answer");
    let mut liar = Liar::join(&town).await;
    liar.attend(Some(proof)).await;
    liar.claim(&device.held(1, 0)).await;
    assert_eq!(device.survives(1).await, 3);
    until_survives(&device, 1, 2).await;
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_old_head_that_is_told_again_is_refused() {
    let town = Town::with_keepers(3).await;
    let mut device = Device::join(&town).await;
    device.back_up(1).await;
    let old = device.head(1, 1).0;
    for number in [1, 2] {
        let head = device.head(1, number).0;
        let Done {} = device.ask(&KeepHead { head }).await.unwrap();
    }
    let mut liar = Liar::join(&town).await;
    liar.attend(None).await;
    let answer = liar.ask::<_, Done>(&KeepHead { head: old }).await;
    assert!(matches!(
        answer,
        Err(AskError::Refused {
            reason: Reason::Stale,
            ..
        })
    ));
    assert_eq!(device.head_number().await, 2);
    town.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_lies_about_others_shards_deletes_nothing() {
    let town = Town::with_keepers(3).await;
    let mut device = Device::join(&town).await;
    let holders = device.back_up(1).await;
    let mut liar = Liar::join(&town).await;
    liar.attend(None).await;
    let ShardsKnown { known } = liar.ask(&Returned { shards: [1; 32] }).await.unwrap();
    assert!(!known);
    let mut word = device.condemnation(1).peek().unwrap();
    word.device = liar.key.peer_id();
    let word = Signed::new(&word, &liar.key);
    assert!(liar.ask::<_, Done>(&Condemn { word }).await.is_err());
    sleep(GRACE * 2).await;
    assert!(device.read(1, &holders[0]).await.is_ok());
    town.stop().await;
}
