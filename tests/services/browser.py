"""Chromium without a window."""

import subprocess


def chromium(*words: str) -> str:
    """Run the browser without a window, and return what it prints."""
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--allow-file-access-from-files",
    )
    command = ["timeout", "120", "chromium", *flags, *words]

    page = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as browser:
        assert browser.stdout
        for line in browser.stdout:
            page += line
            if line.rstrip().endswith("</html>"):
                break

        # Now and then it prints its page, and then waits for ever.
        try:
            assert browser.wait(20) == 0, f"chromium ended with {browser.returncode}"
        except subprocess.TimeoutExpired:
            assert page, "chromium printed nothing"
            browser.terminate()
    return page
