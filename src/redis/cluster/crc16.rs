//! The checksum from which a cluster computes the slot of a key: a CRC of 16 bits with the
//! polynomial 0x1021, as in XMODEM. Pure. Follows appendix A of the cluster specification,
//! <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
//!
//! It begins with 0 and changes nothing at the end, so it is linear. If some bits of a text are
//! flipped, the same bits of its checksum flip, whatever the other bits of the text are.
//! `probe_key.rs` depends on that.

const POLYNOMIAL: u16 = 0x1021;

/// For each byte, the checksum of this byte alone.
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            let divides = crc & 0x8000 != 0;
            crc = (crc << 1) ^ if divides { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

/// The checksum of a text, from that of the text without its last byte.
pub(super) const fn with_byte(crc: u16, byte: u8) -> u16 {
    let [high, _] = crc.to_be_bytes();
    (crc << 8) ^ TABLE[(high ^ byte) as usize]
}

pub(super) fn crc16(text: &[u8]) -> u16 {
    text.iter().fold(0, |crc, byte| with_byte(crc, *byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification, and the first and last entries of its table.
    #[test]
    fn the_checksum_is_that_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(crc16(b""), 0);
        assert_eq!(TABLE[..4], [0x0000, 0x1021, 0x2042, 0x3063]);
        assert_eq!(TABLE[252..], [0x2E93, 0x3EB2, 0x0ED1, 0x1EF0]);
    }

    #[test]
    fn the_same_bits_of_a_text_flip_the_same_bits_of_its_checksum() {
        let flipped = |text: &[u8; 4], at: usize| {
            let mut other = *text;
            other[at] ^= 1;
            crc16(text) ^ crc16(&other)
        };
        for at in 0..4 {
            assert_eq!(flipped(b"test", at), flipped(b"\0\xFF{}", at));
        }
    }
}
