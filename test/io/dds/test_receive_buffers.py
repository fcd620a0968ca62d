from gckpl_ros.io.dds.network import buffer_warning


def test_small_receive_buffers_are_told_with_what_mends_them(tmp_path):
    limit = tmp_path / "rmem_max"
    assert buffer_warning(limit) == ""
    limit.write_text("212992\n")
    told = buffer_warning(limit)
    assert told.startswith("net.core.rmem_max is 208 KiB") and "sysctl -w net.core.rmem_max=16777216" in told
    limit.write_text("16777216\n")
    assert buffer_warning(limit) == ""
