//! Any k shards give everything back, whole or by columns.

use proptest::prelude::*;

use super::*;

fn pack(len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes.into()
}

fn scheme(data: u8, parity: u8) -> Scheme {
    Scheme::new(data, parity).unwrap()
}

/// All ways to take `count` of the numbers below `of`.
fn choices(of: usize, count: usize) -> Vec<Vec<usize>> {
    let masks = (0u32..1 << of).filter(|mask| mask.count_ones() as usize == count);
    masks
        .map(|mask| (0..of).filter(|bit| mask & (1 << bit) != 0).collect())
        .collect()
}

fn all(scheme: Scheme, pack: &Bytes) -> Vec<Bytes> {
    Shards::new(scheme, pack).into_all()
}

fn pick<'a>(all: &'a [Bytes], chosen: &[usize]) -> Vec<(usize, &'a [u8])> {
    chosen.iter().map(|index| (*index, &all[*index][..])).collect()
}

#[test]
fn the_parity_of_version_1() {
    let pack = pack(1000);
    let ids = Shards::new(scheme(4, 2), &pack).ids();
    let text: Vec<String> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(text.join("\n") + "\n", include_str!("../golden/shards.hex"));
}

#[test]
fn every_choice_of_k_gives_the_pack_and_every_shard() {
    for (data, parity) in [(1, 2), (2, 1), (3, 3), (4, 2)] {
        let (scheme, pack) = (scheme(data, parity), pack(10_001));
        let all = all(scheme, &pack);
        for chosen in choices(scheme.shards(), scheme.data()) {
            let have = pick(&all, &chosen);
            assert_eq!(
                assemble(scheme, pack.len(), &have).as_ref(),
                Ok(&pack.to_vec()),
                "{scheme} {chosen:?}"
            );
            for (wanted, shard) in all.iter().enumerate() {
                let rebuilt = rebuild(scheme, &have, wanted);
                assert_eq!(rebuilt.as_deref(), Ok(&shard[..]), "{scheme} {chosen:?} {wanted}");
            }
        }
    }
}

#[test]
fn stripes_code_as_the_whole_does() {
    let (scheme, pack) = (scheme(4, 2), pack(9 * STRIPE_BYTES + 1000));
    let all = all(scheme, &pack);
    let len = all[0].len();
    let mut encoder = ReedSolomonEncoder::new(4, 2, len).unwrap();
    let data = all[..4].iter();
    data.for_each(|shard| encoder.add_original_shard(shard).unwrap());
    let coded = encoder.encode().unwrap();
    assert!(len > 2 * STRIPE_BYTES && coded.recovery_iter().eq(all[4..].iter().map(|shard| &shard[..])));
}

#[test]
fn ids_are_the_hashes_of_the_shards() {
    let pack = pack(5000);
    for scheme in [scheme(1, 2), scheme(4, 2), scheme(3, 0)] {
        let shards = Shards::new(scheme, &pack);
        let ids = shards.ids();
        let hash = |shard: &Bytes| BlobId(*blake3::hash(shard).as_bytes());
        assert_eq!(ids, shards.into_all().iter().map(hash).collect::<Vec<_>>());
    }
}

#[test]
fn too_few_unequal_and_unknown_shards_are_refused() {
    let (scheme, pack) = (scheme(4, 2), pack(10_001));
    let all = all(scheme, &pack);
    let few = [(0, &all[0][..]), (1, &all[1]), (5, &all[5]), (5, &all[5])];
    let error = ShardError::TooFew { have: 3, need: 4 };
    assert_eq!(rebuild(scheme, &few, 2), Err(error));
    assert_eq!(assemble(scheme, pack.len(), &few), Err(error));
    let short = [(0, &all[0][..64]), (1, &all[1]), (2, &all[2]), (5, &all[5])];
    assert_eq!(rebuild(scheme, &short, 3), Err(ShardError::Length));
    let odd: Vec<_> = (0..4).map(|index| (index, &all[index][..63])).collect();
    assert_eq!(rebuild(scheme, &odd, 5), Err(ShardError::Length));
    let whole = pick(&all, &[0, 1, 2, 3]);
    assert_eq!(
        assemble(scheme, pack.len() + 300, &whole),
        Err(ShardError::Length)
    );
    assert_eq!(rebuild(scheme, &whole, 6), Err(ShardError::Unknown(6)));
    for unknown in [6, 99] {
        let have = [&whole[..3], &[(unknown, &all[0][..])]].concat();
        assert_eq!(rebuild(scheme, &have, 3), Err(ShardError::Unknown(unknown)));
    }
    assert_eq!(
        rebuild(scheme, &[], 0),
        Err(ShardError::TooFew { have: 0, need: 4 })
    );
}

#[test]
fn an_empty_pack_has_empty_shards() {
    for scheme in [scheme(1, 2), scheme(4, 2)] {
        let all = all(scheme, &Bytes::new());
        assert!(all.iter().all(Bytes::is_empty));
        let last: Vec<usize> = (scheme.parity()..scheme.shards()).collect();
        assert_eq!(assemble(scheme, 0, &pick(&all, &last)), Ok(vec![]));
        assert_eq!(rebuild(scheme, &pick(&all, &last), 0), Ok(vec![]));
    }
}

proptest! {
    #[test]
    fn any_columns_rebuild_the_same_columns(
        data in 2u8..8, parity in 1u8..5, len in 1usize..20_000,
        from in 0usize..100, count in 1usize..100, wanted in 0usize..12,
    ) {
        let (scheme, pack) = (scheme(data, parity), pack(len));
        let all = all(scheme, &pack);
        let shard_bytes = all[0].len();
        let (start, wanted) = ((from * 64) % shard_bytes, wanted % scheme.shards());
        let range = start..(start + count * 64).min(shard_bytes);
        let have: Vec<_> = (0..scheme.shards()).filter(|index| *index != wanted).rev()
            .take(scheme.data()).map(|index| (index, &all[index][range.clone()])).collect();
        let rebuilt = rebuild(scheme, &have, wanted).unwrap();
        prop_assert_eq!(&rebuilt[..], &all[wanted][range]);
    }

    #[test]
    fn parts_are_the_bytes_of_the_pack(
        data in 1u8..8, len in 1usize..20_000, from in 0usize..20_000, count in 0usize..20_000,
    ) {
        let (scheme, pack) = (scheme(data, 1), pack(len));
        let all = all(scheme, &pack);
        let range = from.min(len)..(from + count).min(len);
        let mut read = Vec::new();
        for part in parts(scheme, len as u64, range.start as u64..range.end as u64) {
            let bytes = usize::try_from(part.range.start).unwrap()..usize::try_from(part.range.end).unwrap();
            read.extend_from_slice(&all[part.shard][bytes]);
            let columns = columns(scheme, scheme.shard_bytes(len as u64), part.range.clone());
            prop_assert!(columns.start <= part.range.start && columns.end >= part.range.end);
        }
        prop_assert_eq!(&read[..], &pack[range]);
    }
}
