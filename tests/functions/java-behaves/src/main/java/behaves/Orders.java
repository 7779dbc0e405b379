package behaves;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;

/** Plain objects in and out, no interface, and a library that comes along. */
public class Orders {
    public static class Order {
        private String customer;
        private List<String> prices = new ArrayList<>();

        public String getCustomer() {
            return customer;
        }

        public void setCustomer(String customer) {
            this.customer = customer;
        }

        public List<String> getPrices() {
            return prices;
        }

        public void setPrices(List<String> prices) {
            this.prices = prices;
        }
    }

    public static class Receipt {
        public final String text;
        public final BigDecimal total;

        Receipt(String text, BigDecimal total) {
            this.text = text;
            this.total = total;
        }

        public String getText() {
            return text;
        }

        public BigDecimal getTotal() {
            return total;
        }
    }

    public Receipt price(Order order) {
        BigDecimal total = order.getPrices().stream().map(BigDecimal::new).reduce(BigDecimal.ZERO, BigDecimal::add);
        JsonObject text = new Gson().fromJson("{\"for\": \"" + order.getCustomer() + "\"}", JsonObject.class);
        return new Receipt(text.get("for").getAsString(), total);
    }
}
