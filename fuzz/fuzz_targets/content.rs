//! PDUs of the dialect content, and the stream of a download: it never gives more than came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_gateway::content::{
    codec::{Answer, Request, pdu},
    stream::Download,
};

fuzz_target!(|data: &[u8]| {
    let pdu = pdu(data);
    if let Ok(request) = Request::decode(&pdu) {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    if let Ok(answer) = Answer::decode(&pdu) {
        let _ = answer.encode();
    }
    let (mut download, mut out) = (Download::default(), Vec::new());
    let piece = usize::from(data.first().copied().unwrap_or(1)).max(1);
    let came = data
        .chunks(piece)
        .try_for_each(|bytes| download.push(bytes, &mut out));
    if came.and_then(|()| download.end(&mut out)).is_ok() {
        assert!(out.len() <= data.len());
    }
});
