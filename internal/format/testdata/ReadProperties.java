import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Properties;

/** Reads properties as bytes and as UTF-8 text, and prints each key and value in base64. */
public class ReadProperties {
    public static void main(String[] args) throws Exception {
        byte[] input = System.in.readAllBytes();
        Properties latin = new Properties();
        latin.load(new ByteArrayInputStream(input));
        Properties utf = new Properties();
        utf.load(new InputStreamReader(new ByteArrayInputStream(input), StandardCharsets.UTF_8));
        if (!latin.equals(utf)) {
            throw new Exception("the bytes and the text are read differently");
        }
        StringBuilder out = new StringBuilder();
        for (String key : latin.stringPropertyNames()) {
            out.append(base64(key)).append(' ').append(base64(latin.getProperty(key))).append('\n');
        }
        System.out.print(out);
    }

    static String base64(String s) {
        return Base64.getEncoder().encodeToString(s.getBytes(StandardCharsets.UTF_8));
    }
}
